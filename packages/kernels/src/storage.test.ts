import { expect, test } from "vitest";
import { expectCode } from "./conformance/expectations";
import type { WeightStorage } from "./device";
import { bytesPerNumber, decodeNumbers } from "./storage";

const words = (...values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);

test("f32 is read at any offset", () => {
  const bytes = new Uint8Array(9);
  new DataView(bytes.buffer).setFloat32(1, -1.5, true);
  new DataView(bytes.buffer).setFloat32(5, 3, true);
  expect([...decodeNumbers(bytes.subarray(1), "f32")]).toEqual([-1.5, 3]);
});

test("bf16 is the upper half of float32", () => {
  const values = decodeNumbers(words(0x3f80, 0xc040, 0x0000, 0x7f80, 0x3dcd), "bf16");
  expect([...values]).toEqual([1, -3, 0, Infinity, 0.10009765625]);
});

test("f16: normal, subnormal, largest, special", () => {
  const values = decodeNumbers(words(0x3c00, 0xc200, 0x0001, 0x7bff, 0xfc00, 0x7e00), "f16");
  expect([...values]).toEqual([1, -3, 2 ** -24, 65504, -Infinity, NaN]);
});

test("an unknown storage is refused", () => {
  expectCode("UnsupportedStorage", () => bytesPerNumber("q4" as WeightStorage));
});
