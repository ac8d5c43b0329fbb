import { expect, test } from "vitest";
import { expectCode } from "./conformance/expectations";
import type { WeightStorage } from "./device";
import { blockNumbers, decodeRows, rowBytes } from "./storage";

const words = (...values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);

test("f32 is read at any offset", () => {
  const bytes = new Uint8Array(9);
  new DataView(bytes.buffer).setFloat32(1, -1.5, true);
  new DataView(bytes.buffer).setFloat32(5, 3, true);
  expect([...decodeRows(bytes.subarray(1), "f32", 2)]).toEqual([-1.5, 3]);
});

test("bf16 is the upper half of float32", () => {
  const values = decodeRows(words(0x3f80, 0xc040, 0x0000, 0x7f80, 0x3dcd), "bf16", 5);
  expect([...values]).toEqual([1, -3, 0, Infinity, 0.10009765625]);
});

test("f16: normal, subnormal, largest, special", () => {
  const values = decodeRows(words(0x3c00, 0xc200, 0x0001, 0x7bff, 0xfc00, 0x7e00), "f16", 6);
  expect([...values]).toEqual([1, -3, 2 ** -24, 65504, -Infinity, NaN]);
});

test("an unknown storage is refused", () => {
  expectCode("UnsupportedStorage", () => rowBytes("q4" as WeightStorage, 32));
  expectCode("UnsupportedStorage", () => rowBytes("toString" as WeightStorage, 32));
});

test("i8: a scale per row", () => {
  const bytes = new Uint8Array(2 * 7);
  const view = new DataView(bytes.buffer);
  for (const [row, scale] of [0.5, -2].entries()) {
    view.setFloat32(row * 7, scale, true);
    [-128, 3, 127].forEach((q, k) => view.setInt8(row * 7 + 4 + k, q));
  }
  expect([...decodeRows(bytes, "i8", 3)]).toEqual([-64, 1.5, 63.5, 256, -6, -254]);
});

/**
 * First and last number and `sum_i (i + 1) w_i` of two blocks, by `gguf.quants.dequantize` of the Python package gguf
 * 0.19. Byte `i` is `31 i^2 + 7 i + 11` but for the binary16 numbers, which are 0x2137 + b and 0x2237 + b in block `b`.
 */
test.each([
  ["q8_0", 34, [0], [-1.08982086, 1.21295166, 207.790039]],
  ["q4_0", 18, [0], [-0.0305557251, -0.0305786133, -5.77600098]],
  ["q4_1", 20, [0, 2], [0.0834350586, 0.0529174805, 205.766533]],
  ["q4_k", 144, [0, 2], [2.54045105, -0.412109375, 234565.332]],
  ["q6_k", 210, [208], [20.6251144, -16.5124512, -12562.1019]],
] as const)("%s is read as by gguf", (storage, size, places, [first, last, sum]) => {
  const bytes = Uint8Array.from({ length: 2 * size }, (_, i) => 31 * i * i + 7 * i + 11);
  for (const block of [0, 1]) {
    places.forEach((at, j) => {
      bytes.set([0x37 + block, 0x21 + j], block * size + at);
    });
  }
  const columns = 2 * blockNumbers(storage);
  expect(rowBytes(storage, columns)).toBe(2 * size);
  const values = decodeRows(bytes, storage, columns);
  expect(values[0]! / first).toBeCloseTo(1, 7);
  expect(values.at(-1)! / last).toBeCloseTo(1, 7);
  expect(values.reduce((total, value, i) => total + (i + 1) * value, 0) / sum).toBeCloseTo(1, 8);
});
