import { describe, expect, test } from "vitest";
import { trainingConformance } from "../conformance";
import { Random } from "../conformance/random";
import { cpuDevice } from "./cpu-device";

for (const simd of ["simd128", "relaxed"] as const) {
  for (const threads of [1, 2]) {
    const name = `the CPU device, ${simd}, ${threads} threads`;
    trainingConformance(name, () => cpuDevice({ threads, simd }));
  }
}

describe("sums over rows", () => {
  test("do not depend on the number of threads", async () => {
    const random = new Random(60);
    const [x, weight, dy] = [
      random.floats(300 * 200),
      random.floats(200),
      random.floats(300 * 200),
    ];
    const results = [];
    for (const threads of [1, 2, 3]) {
      const device = await cpuDevice({ threads, simd: "simd128" });
      const [input, gradient] = [device.tensor(x, [300, 200]), device.tensor(dy, [300, 200])];
      const w = device.tensor(weight, [1, 200]);
      const { dWeight } = device.training.rmsNormBackward(input, w, 1e-5, gradient);
      const sums = device.training.sumOfSquares(input);
      results.push([[...(await device.read(dWeight))], [...(await device.read(sums))]]);
      device.destroy();
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});
