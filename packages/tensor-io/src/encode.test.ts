import { expect, test } from "vitest";
import { decodeToF32 } from "./decode";
import type { SafetensorsDType } from "./dtype";
import { encodeFromF32 } from "./encode";
import { expectCode } from "./test-support";

const largest: [SafetensorsDType, number][] = [
  ["F16", 65504],
  ["BF16", 2 ** 127 * (2 - 2 ** -7)],
  ["F8_E5M2", 57344],
  ["F8_E4M3", 448],
  ["F8_E4M3FNUZ", 240],
  ["F8_E5M2FNUZ", 57344],
  ["F8_E8M0", 2 ** 127],
];
const largestF32 = 2 ** 127 * (2 - 2 ** -23);

test.each(largest)(
  "%s: the largest value passes, a larger one is refused by index",
  async (dtype, max) => {
    expect(decodeToF32(encodeFromF32(Float32Array.of(max), dtype), dtype)[0]).toBe(max);
    const values = Float32Array.of(1, largestF32);
    const error = await expectCode("ValueNotRepresentable", () =>
      encodeFromF32(values, dtype, { tensor: "model.norm.weight" }),
    );
    expect(error.context).toMatchObject({ tensor: "model.norm.weight", index: 1, dtype });
    expect(error.message).toContain("model.norm.weight");
  },
);

test.each(largest)("%s: saturate and infinity", (dtype, max) => {
  const values = Float32Array.of(largestF32, Infinity);
  const saturated = encodeFromF32(values, dtype, { overflow: "saturate" });
  expect(Array.from(decodeToF32(saturated, dtype))).toEqual([max, max]);
  const beyond = decodeToF32(encodeFromF32(values, dtype, { overflow: "infinity" }), dtype);
  const hasInfinity = ["F16", "BF16", "F8_E5M2"].includes(dtype);
  expect(Array.from(beyond)).toEqual(hasInfinity ? [Infinity, Infinity] : [NaN, NaN]);
});

test("values that round to the largest are no overflow", () => {
  // Half a step above 65504 is 65520, a tie that goes up to the missing 65536.
  const values = Float32Array.of(65519.99);
  expect(decodeToF32(encodeFromF32(values, "F16"), "F16")[0]).toBe(65504);
});

test("infinity passes where the type has one and is refused elsewhere", async () => {
  const infinite = Float32Array.of(-Infinity);
  expect(decodeToF32(encodeFromF32(infinite, "F16"), "F16")[0]).toBe(-Infinity);
  await expectCode("ValueNotRepresentable", () => encodeFromF32(infinite, "F8_E4M3"));
});

test("NaN stays NaN", () => {
  for (const [dtype] of largest) {
    expect(decodeToF32(encodeFromF32(Float32Array.of(NaN), dtype), dtype)[0]).toBeNaN();
  }
});

test("F8_E8M0 rounds to powers of two, middles up; zero and negatives are outside", async () => {
  const values = Float32Array.of(1, 1.49, 1.5, 3, 2.9, 2 ** -127, 2 ** -128 * 1.5, 2 ** -127 * 1.5);
  const expected = [1, 1, 2, 4, 2, 2 ** -127, 2 ** -127, 2 ** -126];
  expect(Array.from(decodeToF32(encodeFromF32(values, "F8_E8M0"), "F8_E8M0"))).toEqual(expected);
  const outside = [0, -0, -1, -Infinity, 2 ** -128];
  for (const value of outside) {
    await expectCode("ValueNotRepresentable", () =>
      encodeFromF32(Float32Array.of(value), "F8_E8M0"),
    );
  }
  const saturated = encodeFromF32(Float32Array.from(outside), "F8_E8M0", { overflow: "saturate" });
  expect(Array.from(saturated)).toEqual([0, 0, 0, 0, 0]);
});

test("F32 and F64 are exact copies", () => {
  const values = Float32Array.of(0.1, -0, NaN, Infinity);
  const copy = encodeFromF32(values, "F32");
  expect(decodeToF32(copy, "F32")).toEqual(values);
  expect(decodeToF32(encodeFromF32(values, "F64"), "F64")).toEqual(values);
  copy.fill(0);
  expect(values[0]).toBe(Math.fround(0.1));
});

test("UnsupportedConversion for integers, complex numbers and blocks", async () => {
  for (const dtype of ["I8", "BOOL", "C64", "F4", "Q4_0"] as const) {
    await expectCode("UnsupportedConversion", () => encodeFromF32(Float32Array.of(1), dtype));
  }
});
