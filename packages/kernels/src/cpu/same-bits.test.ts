import { setFlagsFromString } from "node:v8";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Random } from "../conformance/random";
import { randomTensor, randomWeight } from "../conformance/expectations";
import type { Device, Tensor } from "../device";
import { weightStorages } from "../storage";
import { cpuDevice } from "./cpu-device";

/** The bits of a row do not depend on what else is in a batch, on pages, pieces or threads: docs/decisions/0015-engine.md. */

const bits = async (device: Device, tensor: Tensor) =>
  new Int32Array((await device.read(tensor)).buffer);

// Node 20 has relaxed SIMD behind this flag; later engines have it without.
setFlagsFromString("--experimental-wasm-relaxed-simd");

describe.each(["simd128", "relaxed"] as const)("the same bits with %s", (simd) => {
  let one: Device;
  let two: Device;
  beforeAll(async () => {
    one = await cpuDevice({ threads: 1, simd });
    two = await cpuDevice({ threads: 2, simd });
  });
  afterAll(() => {
    one.destroy();
    two.destroy();
  });

  describe.each(weightStorages)("products with %s weights", (storage) => {
    it.each([
      [70, 256],
      [40, 1280],
    ])("%i outputs of %i inputs", async (outputs, inputs) => {
      const results = await Promise.all(
        [one, two].map(async (device) => {
          const random = new Random(5);
          const { weight } = randomWeight(device, random, [outputs, inputs], storage);
          const { values } = randomTensor(device, random, [130, inputs]);
          const bias = randomTensor(device, random, [1, outputs]).tensor;
          const rowsOf = (first: number, count: number) =>
            bits(
              device,
              device.linear(
                device.tensor(values.slice(first * inputs, (first + count) * inputs), [
                  count,
                  inputs,
                ]),
                weight,
                bias,
              ),
            );
          const all = await rowsOf(0, 130);
          for (const count of [1, 2, 3, 4, 5, 7, 8, 9, 14, 16, 67]) {
            for (const first of [0, 11, 63]) {
              const part = all.slice(first * outputs, (first + count) * outputs);
              expect(await rowsOf(first, count)).toEqual(part);
            }
          }
          return all;
        }),
      );
      expect(results[1]).toEqual(results[0]);
    });
  });
});
