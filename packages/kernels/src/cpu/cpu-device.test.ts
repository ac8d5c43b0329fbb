import { describe, expect, test } from "vitest";
import { conformance } from "../conformance";
import { expectCode, randomTensor, randomWeight, tensorOf } from "../conformance/expectations";
import { Random } from "../conformance/random";
import type { Device, LatentAttention, Weight } from "../device";
import { decodeRows } from "../storage";
import { cpuDevice } from "./cpu-device";
import { supports } from "./module";

for (const simd of ["simd128", "relaxed"] as const) {
  describe.skipIf(!supports(simd))(`the ${simd} build, which this engine must know`, () => {
    for (const threads of [1, 2, 3]) {
      conformance(`CPU device, ${simd}, ${threads} threads`, () => cpuDevice({ simd, threads }));
    }
    conformance(`CPU device, ${simd}, wide vectors`, () => cpuDevice({ simd, wideVectors: true }));
  });
}

describe("cpuDevice", () => {
  test("silu is right to 1e-6 of each number, so the exponential is too", async () => {
    const device = await cpuDevice();
    const gates = Float32Array.from({ length: 40_001 }, (_, i) => (i - 20_000) / 1000);
    const ones = new Float32Array(gates.length).fill(1);
    const shape = [1, gates.length] as const;
    const y = await device.read(
      device.gatedActivation(device.tensor(gates, shape), device.tensor(ones, shape), "silu"),
    );
    let worst = 0;
    gates.forEach((x, i) => {
      const expected = x / (1 + Math.exp(-x));
      if (x !== 0) worst = Math.max(worst, Math.abs(y[i]! / expected - 1));
    });
    expect(worst).toBeLessThan(1e-6);
    device.destroy();
  });

  test("f16 weights: subnormals, infinities, NaN and signed zero", async () => {
    const device = await cpuDevice();
    const bits = Uint16Array.of(0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x8000, 0x3c00);
    const weight = device.weight([1, bits.length], "f16");
    device.writeRows(weight, 0, new Uint8Array(bits.buffer));
    const row = await device.read(device.embedding(weight, Int32Array.of(0)));
    const expected = [2 ** -24, 1023 * 2 ** -24, 65504, Infinity, -Infinity, NaN, -0, 1];
    expect([...row]).toEqual(expected);
    device.destroy();
  });

  test("f16 weights beyond 64 after smaller ones: nothing is lost, in any product", async () => {
    const device = await cpuDevice();
    const random = new Random(9);
    const { bytes, values } = random.stored([20, 33], "f16");
    const weight = device.weight([20, 33], "f16");
    device.writeRows(weight, 0, bytes);
    const large = Uint16Array.from({ length: 33 }, (_, k) => 0x5400 + 37 * k); // 64 and more
    device.writeRows(weight, 11, new Uint8Array(large.buffer));
    values.set(decodeRows(new Uint8Array(large.buffer), "f16", 33), 11 * 33);
    device.writeRows(weight, 0, bytes.subarray(0, 66));
    const rows = device.embedding(
      weight,
      Int32Array.from({ length: 20 }, (_, i) => i),
    );
    expect(await device.read(rows)).toEqual(values);
    const ones = device.tensor(new Float32Array(33).fill(1), [1, 33]);
    const y = await device.read(device.linear(ones, weight));
    y.forEach((sum, i) => {
      const expected = values.subarray(33 * i, 33 * (i + 1)).reduce((total, v) => total + v, 0);
      expect(sum).toBeCloseTo(expected, 2);
    });
    device.destroy();
  });

  test("memoryLimit must allow for something", async () => {
    await expect(cpuDevice({ memoryLimit: 1000 })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    await expect(cpuDevice({ memoryLimit: NaN })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
  });

  test("limits are positive", async () => {
    for (const limits of [
      { bandwidth: 0, gemm: 1 },
      { bandwidth: 1, gemm: NaN },
    ]) {
      await expect(cpuDevice({ limits })).rejects.toMatchObject({ code: "InvalidArgument" });
    }
  });

  test("beyond memoryLimit: OutOfMemory; what is released can be used again", async () => {
    const device = await cpuDevice({ memoryLimit: 2 ** 23 });
    const weight = device.weight([1024, 1024], "f32");
    expectCode("OutOfMemory", () => device.weight([1024, 1024], "f32"));
    expectCode("OutOfMemory", () => device.tensor(new Float32Array(2 ** 20), [1024, 1024]));
    device.release(weight);
    device.release(device.weight([1024, 1024], "f32"));
    device.destroy();
  });

  test("no operation leaks: hundreds of rounds in little memory", async () => {
    const device = await cpuDevice({ memoryLimit: 2 ** 21 });
    const random = new Random(5);
    const input = latentInput(device, random);
    const x = randomTensor(device, random, [16, 256]).tensor;
    const ids = Int32Array.from({ length: 16 }, (_, i) => i);
    for (let round = 0; round < 300; round++) {
      device.scope(() => {
        const { weight } = randomWeight(device, random, [32, 256], "bf16");
        device.linear(x, weight);
        device.embedding(weight, ids);
        device.gatherRows(x, ids);
        device.argmax(x);
        for (const way of ["absorbed", "expanded"] as const)
          device.latentAttention({ ...input, way });
        device.writeRows(input.keyUp!, 0, new Uint8Array(4 * 8));
        device.release(weight);
        const pool = device.pagePool({ pages: 2, pageTokens: 8, width: 256 });
        device.writePages(pool, x, ids);
        device.release(pool);
      });
    }
    device.destroy();
  });

  test("an operation that runs out of memory leaves nothing behind", async () => {
    const device = await cpuDevice({ memoryLimit: 2 ** 20 });
    const input = latentInput(device, new Random(6));
    const run = (way: "absorbed" | "expanded") =>
      device.release(device.latentAttention({ ...input, way }));
    run("absorbed");
    const filling = fill(device);
    const before = filling.length;
    let refusals = 0;
    for (let room = 0; room < 20; room++) {
      for (let round = 0; round < 20; round++) {
        try {
          run("expanded");
        } catch (error) {
          expect(error).toMatchObject({ code: "OutOfMemory" });
          refusals++;
        }
      }
      device.release(filling.pop()!);
    }
    expect(refusals).toBeGreaterThan(100);
    run("expanded");
    for (const weight of filling) device.release(weight);
    expect(fill(device).length).toBe(before);
    device.destroy();
  });

  test("tensors read during growth stay intact", async () => {
    const device = await cpuDevice();
    const x = tensorOf(device, [[1, 2, 3]]);
    device.weight([4096, 4096], "f32");
    expect([...(await device.read(device.add(x, x)))]).toEqual([2, 4, 6]);
    device.destroy();
  });
});

/** Takes all memory there is, in pieces of 2 KB. */
function fill(device: Device): Weight[] {
  const pieces: Weight[] = [];
  for (;;) {
    try {
      pieces.push(device.weight([8, 64], "f32"));
    } catch (error) {
      expect(error).toMatchObject({ code: "OutOfMemory" });
      return pieces;
    }
  }
}

function latentInput(device: Device, random: Random): LatentAttention {
  const latents = device.pagePool({ pages: 2, pageTokens: 8, width: 8 });
  return {
    queryNope: randomTensor(device, random, [4, 12]).tensor,
    latents,
    keyUp: randomWeight(device, random, [6, 8]).weight,
    keyUpHeads: 2,
    valueUp: randomWeight(device, random, [10, 8]).weight,
    valueUpHeads: 2,
    heads: 4,
    scale: 1,
    sequences: [{ queryStart: 0, queryCount: 4, length: 12, pages: Int32Array.of(1, 0) }],
  };
}
