import { conformance } from "@transmla/kernels/conformance";
import { describe, expect, test } from "vitest";
import { defineKernel } from "./define-kernel";
import { gpujsDevice } from "./gpujs-device";
import type { GpujsMode, KernelThis } from "./gpujs-options";

/** WebGL exists in browsers only; in Node the best there is, and the one that everything else falls back on. */
const modes: readonly GpujsMode[] =
  typeof document === "undefined" ? ["async", "cpu"] : ["async", "webgl2"];

for (const mode of modes) conformance(`gpu.js device, ${mode}`, () => gpujsDevice({ mode }));

describe("operations of one's own", () => {
  const power = defineKernel(
    "power",
    function (this: KernelThis, x: number[][], exponent: number[]) {
      let y = 1;
      for (let i = 0; i < exponent[0]!; i++) {
        y *= x[this.thread.y]![this.thread.x]!;
      }
      return y;
    },
  );

  test("run on tensors of any shape, between other operations", async () => {
    const device = await gpujsDevice();
    const [wide, tall] = [
      device.tensor(Float32Array.of(1, 2, 3), [1, 3]),
      device.tensor(Float32Array.of(2, -1), [2, 1]),
    ];
    const y = device.scope(() =>
      device.add(device.run(power, [device.add(wide, wide), 3], [1, 3]), wide),
    );
    expect([...(await device.read(y))]).toEqual([9, 66, 219]);
    expect([...(await device.read(device.run(power, [tall, 2], [2, 1])))]).toEqual([4, 1]);
    expect(["webgpu", "webgl2", "webasm"]).toContain(device.backend);
    device.destroy();
  });

  test("are refused like others", async () => {
    const device = await gpujsDevice();
    const x = device.tensor(Float32Array.of(1), [1, 1]);
    const refused = (code: string, action: () => unknown) =>
      expect(action).toThrow(expect.objectContaining({ code }));
    refused("ShapeMismatch", () => device.run(power, [], [1, 1]));
    refused("InvalidArgument", () => device.run(power, [x, 1], [0, 1]));
    refused("InvalidArgument", () => defineKernel("bound", Math.max));
    device.release(x);
    refused("Released", () => device.run(power, [x, 1], [1, 1]));
    device.destroy();
  });

  test("that cannot be translated fail when they are read, and so does what is made of them", async () => {
    const device = await gpujsDevice();
    const x = device.tensor(Float32Array.of(1), [1, 1]);
    const broken = defineKernel("broken", function (this: KernelThis, value: number[][]) {
      return Number(JSON.stringify(value));
    });
    const y = device.run(broken, [x], [1, 1]);
    const after = device.add(y, x);
    await expect(device.read(after)).rejects.toMatchObject({ code: "DeviceFailure" });
    expect([...(await device.read(device.add(x, x)))]).toEqual([2]);
    device.destroy();
  });
});

describe("gpujsDevice", () => {
  test("says what it lacks", async () => {
    const impossible = typeof document === "undefined" ? "webgl2" : ("x" as GpujsMode);
    const refusal = { code: "UnsupportedPlatform" };
    await expect(gpujsDevice({ mode: impossible })).rejects.toMatchObject(refusal);
    await expect(gpujsDevice({ memoryLimit: 1 })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
  });

  test("counts what it holds against memoryLimit", async () => {
    const device = await gpujsDevice({ memoryLimit: 2 ** 20 });
    const weight = device.weight([200, 1000], "bf16");
    const needs = { weights: [{ shape: [100, 1000], storage: "bf16" }] } as const;
    const refusal = expect.objectContaining({ code: "OutOfMemory" });
    expect(() => device.checkRoom(needs)).toThrow(refusal);
    expect(() => device.weight([100, 1000], "bf16")).toThrow(refusal);
    device.release(weight);
    device.checkRoom(needs);
    device.destroy();
  });
});
