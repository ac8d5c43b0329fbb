import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { randomWeight } from "../conformance/expectations";
import { Random } from "../conformance/random";
import type { AttentionSequence, CacheStorage, Device, Tensor, WeightStorage } from "../device";
import { ropeTable } from "../rope-table";
import { cpuDevice } from "./cpu-device";
import { ranges } from "./kernels";

/** Every operation at sizes that threads share. */
const operations: Readonly<Record<string, (device: Device) => Tensor>> = {
  "linear, one row": (device) => linear(device, [1, 321, 701]),
  "linear, a few rows": (device) => linear(device, [5, 300, 1001]),
  "linear, many rows": (device) => linear(device, [205, 290, 65]),
  "linear, bf16": (device) => linear(device, [1, 321, 701], "bf16"),
  "linear, f16": (device) => linear(device, [1, 321, 701], "f16"),
  "linear, i8": (device) => linear(device, [1, 321, 701], "i8"),
  "linear, i8, many rows": (device) => linear(device, [150, 577, 101], "i8"),
  "linear, q4_k": (device) => linear(device, [2, 512, 501], "q4_k"),
  "linear, q6_k": (device) => linear(device, [1, 512, 501], "q6_k"),
  add: (device) => device.add(random(device, 1, [201, 301]), random(device, 2, [201, 301])),
  rmsNorm: (device) =>
    device.rmsNorm(random(device, 1, [201, 301]), random(device, 2, [1, 301]), 1e-6),
  gatedActivation: (device) =>
    device.gatedActivation(random(device, 1, [201, 301]), random(device, 2, [201, 301]), "silu"),
  rope: (device) => {
    const table = ropeTable(device, Float64Array.of(1, 0.5, 0.1, 0.01), 300);
    const positions = Int32Array.from({ length: 201 }, (_, t) => t);
    return device.rope(random(device, 1, [201, 8 * 50]), table, positions);
  },
  "grouped attention, decode": (device) => grouped(device, [sequence(0, 1, 500)]),
  "grouped attention, prefill": (device) => grouped(device, [sequence(0, 150, 200)]),
  "grouped attention, batch": (device) =>
    grouped(
      device,
      [300, 7, 400, 200, 1, 350].map((length, i) => sequence(i, 1, length)),
    ),
  "grouped attention, i8": (device) => grouped(device, [sequence(0, 1, 500)], undefined, "i8"),
  "grouped attention, window": (device) => grouped(device, [sequence(0, 1, 500)], 130),
  "latent attention, absorbed decode": (device) => latent(device, sequence(0, 1, 500), "absorbed"),
  "latent attention, expanded decode": (device) => latent(device, sequence(0, 1, 500), "expanded"),
  "latent attention, absorbed prefill": (device) =>
    latent(device, sequence(0, 90, 500), "absorbed"),
  "latent attention, expanded prefill": (device) =>
    latent(device, sequence(0, 90, 500), "expanded"),
  "mixture of experts": (device) => {
    const source = new Random(3);
    const weight = (rows: number, columns: number) =>
      randomWeight(device, source, [rows, columns]).weight;
    const expert = () => ({
      gate: weight(300, 100),
      up: weight(300, 100),
      down: weight(100, 300),
    });
    return device.mixtureOfExperts({
      x: random(device, 1, [200, 100]),
      routerLogits: random(device, 2, [200, 3]),
      experts: [expert(), expert(), expert()],
      topK: 2,
      activation: "silu",
    });
  },
};

const known = new Map<string, Float32Array>();

/** The same numbers for every device. */
function random(device: Device, seed: number, shape: readonly [number, number]): Tensor {
  const key = [seed, ...shape].join(" ");
  const values = known.get(key) ?? new Random(seed).floats(shape[0] * shape[1]);
  known.set(key, values);
  return device.tensor(values, shape);
}

function linear(
  device: Device,
  [tokens, inputs, outputs]: readonly [number, number, number],
  storage: WeightStorage = "f32",
): Tensor {
  const { weight } = randomWeight(device, new Random(1), [outputs, inputs], storage);
  return device.linear(
    random(device, 2, [tokens, inputs]),
    weight,
    random(device, 3, [1, outputs]),
  );
}

function sequence(queryStart: number, queryCount: number, length: number): AttentionSequence {
  const pages = Int32Array.from(new Random(length).permutation(32));
  return { queryStart, queryCount, length, pages };
}

function pool(device: Device, seed: number, width: number, storage: CacheStorage = "f32") {
  const plane = device.pagePool({ pages: 32, pageTokens: 16, width, storage });
  const slots = Int32Array.from({ length: 512 }, (_, i) => i);
  device.writePages(plane, random(device, seed, [512, width]), slots);
  return plane;
}

function grouped(
  device: Device,
  sequences: AttentionSequence[],
  window?: number,
  storage: CacheStorage = "f32",
): Tensor {
  const tokens = sequences.reduce((sum, { queryCount }) => sum + queryCount, 0);
  return device.groupedAttention({
    query: random(device, 1, [tokens, 9 * 32]),
    keys: pool(device, 2, 3 * 32, storage),
    values: pool(device, 3, 3 * 20, storage),
    heads: 9,
    kvHeads: 3,
    scale: 0.2,
    window,
    sequences,
  });
}

function latent(device: Device, one: AttentionSequence, way: "absorbed" | "expanded"): Tensor {
  const source = new Random(4);
  return device.latentAttention({
    queryNope: random(device, 1, [one.queryCount, 6 * 24]),
    queryRope: random(device, 2, [one.queryCount, 6 * 12]),
    latents: pool(device, 3, 64),
    ropeKeys: pool(device, 5, 12),
    keyUp: randomWeight(device, source, [3 * 24, 64]).weight,
    keyUpHeads: 3,
    valueUp: randomWeight(device, source, [6 * 20, 64]).weight,
    valueUpHeads: 6,
    heads: 6,
    scale: 0.2,
    way,
    sequences: [one],
  });
}

async function results(threads: number, name: string, times: number): Promise<Float32Array[]> {
  const device = await cpuDevice({ threads, simd: "simd128" });
  expect(device.threads).toBe(threads);
  expect(device.threadsReason).toBeUndefined();
  const all: Float32Array[] = [];
  for (let i = 0; i < times; i++) all.push(await device.read(operations[name]!(device)));
  device.destroy();
  return all;
}

describe("threads", () => {
  test.each(Object.keys(operations))(
    "%s: as on one thread, and the same every time",
    async (name) => {
      const [alone] = await results(1, name, 1);
      for (const threads of [2, 3]) {
        const [first, ...others] = await results(threads, name, 3);
        for (const other of others) expect(other).toEqual(first);
        let worst = 0;
        alone!.forEach((x, i) => (worst = Math.max(worst, Math.abs(x - first![i]!))));
        expect(worst).toBeLessThan(1e-5 * Math.max(...alone!.map(Math.abs)));
      }
    },
  );

  test("ranges cover everything once, in multiples of the unit", () => {
    for (const [count, parts, unit] of [
      [1, 3, 8],
      [64, 3, 8],
      [577, 4, 32],
      [10, 100, 1],
    ] as const) {
      const cut = ranges(count, parts, unit);
      expect(cut.length).toBeLessThanOrEqual(parts);
      let next = 0;
      for (const { first, count: n } of cut) {
        expect(first).toBe(next);
        expect(first % unit).toBe(0);
        expect(n).toBeGreaterThan(0);
        next += n;
      }
      expect(next).toBe(count);
    }
  });

  test("memory that grows while workers sleep is theirs too", async () => {
    const device = await cpuDevice({ threads: 3 });
    for (const outputs of [1000, 30_000, 60_000]) {
      const weight = device.weight([outputs, 100], "f32");
      device.writeRows(weight, 0, new Uint8Array(new Float32Array(outputs * 100).fill(1).buffer));
      await new Promise((resolve) => setTimeout(resolve, 5));
      const x = device.tensor(new Float32Array(100).fill(2), [1, 100]);
      const y = await device.read(device.linear(x, weight));
      expect(y.every((value) => value === 200)).toBe(true);
    }
    device.destroy();
  });

  test("out of range: InvalidArgument", async () => {
    for (const threads of [0, 1.5, 65, NaN]) {
      await expect(cpuDevice({ threads })).rejects.toMatchObject({ code: "InvalidArgument" });
    }
  });
});

describe("without shared memory", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("the device runs on one thread and says why", async () => {
    vi.stubGlobal("SharedArrayBuffer", undefined);
    const device = await cpuDevice({ threads: 2, simd: "simd128" });
    expect(device.threads).toBe(1);
    expect(device.threadsReason).toContain("Cross-Origin-Opener-Policy");
    const [expected] = await results(1, "linear, one row", 1);
    expect(await device.read(operations["linear, one row"]!(device))).toEqual(expected);
    device.destroy();
  });
});

describe("a process with a device of three threads (of the build in dist)", () => {
  const run = (body: string) => {
    const entry = fileURLToPath(new URL("../../dist/index.js", import.meta.url));
    const program = `
      import { cpuDevice } from ${JSON.stringify(entry)};
      const device = await cpuDevice({ threads: 3 });
      const weight = device.weight([2000, 500], "f32");
      device.linear(device.tensor(new Float32Array(500), [1, 500]), weight);
      ${body}`;
    return promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], {
      timeout: 20_000,
    });
  };

  test("ends by itself, destroyed or not", async () => {
    await expect(run("")).resolves.toMatchObject({ stderr: "" });
    await expect(run("device.destroy();")).resolves.toMatchObject({ stderr: "" });
  });

  test("uses no processor time while idle, and none after destroy", async () => {
    const idle = `
      await new Promise((resolve) => setTimeout(resolve, 50));
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const { user, system } = process.cpuUsage(before);
      console.log(user + system);`;
    for (const body of [idle, `device.destroy(); ${idle}`]) {
      const { stdout } = await run(body);
      expect(Number(stdout)).toBeLessThan(100_000);
    }
  });
});
