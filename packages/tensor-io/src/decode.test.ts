import { expect, test } from "vitest";
import { decodeToF32 } from "./decode";
import { byteLengthOf, safetensorsDTypes, storageBlock, type SafetensorsDType } from "./dtype";
import { encodeFromF32 } from "./encode";
import { expectCode, f32FromBase64, fromBase64, goldenJson } from "./test-support";

interface Floats {
  readonly decode: Record<string, { codes: string; f32: string }>;
  readonly encode: { f32: string; codes: Record<string, string> };
}

const floats = await goldenJson<Floats>("floats.json");
const types = Object.keys(floats.decode) as SafetensorsDType[];

test("the golden file covers every float type of 16 and 8 bits that PyTorch has", () => {
  expect(types).toEqual(["F16", "BF16", "F8_E5M2", "F8_E4M3", "F8_E5M2FNUZ", "F8_E4M3FNUZ"]);
});

test.each(types)("%s to f32 as PyTorch: subnormals, infinities, NaN, all codes of F8", (dtype) => {
  const { codes, f32 } = floats.decode[dtype];
  // toEqual distinguishes -0 from 0 and takes NaN as equal to NaN.
  expect(decodeToF32(fromBase64(codes), dtype)).toEqual(f32FromBase64(f32));
});

test.each(types)("f32 to %s as PyTorch: midpoints and their neighbours, overflow, NaN", (dtype) => {
  const values = f32FromBase64(floats.encode.f32);
  const ours = encodeFromF32(values, dtype, { overflow: "infinity" });
  const torch = fromBase64(floats.encode.codes[dtype]);
  // NaN has many codes, so NaN is compared as a value and everything else as a code.
  const [actual, expected] = [decodeToF32(ours, dtype), decodeToF32(torch, dtype)];
  expect(actual).toEqual(expected);
  const width = ours.length / values.length;
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(expected[i])) continue;
    expect(ours.subarray(i * width, (i + 1) * width)).toEqual(
      torch.subarray(i * width, (i + 1) * width),
    );
  }
});

test.each(types)("%s: every code survives a round trip", (dtype) => {
  const values = f32FromBase64(floats.decode[dtype].f32);
  const finite = values.filter((value) => !Number.isNaN(value));
  expect(decodeToF32(encodeFromF32(finite, dtype), dtype)).toEqual(finite);
});

const decoded = (dtype: SafetensorsDType, view: { buffer: ArrayBufferLike }) =>
  Array.from(decodeToF32(new Uint8Array(view.buffer), dtype));

test("integers and BOOL", () => {
  expect(decoded("BOOL", Uint8Array.of(0, 1))).toEqual([0, 1]);
  expect(decoded("U8", Uint8Array.of(0, 255))).toEqual([0, 255]);
  expect(decoded("I8", Int8Array.of(-128, 127))).toEqual([-128, 127]);
  expect(decoded("I16", Int16Array.of(-32768, 3))).toEqual([-32768, 3]);
  expect(decoded("U16", Uint16Array.of(65535))).toEqual([65535]);
  expect(decoded("I32", Int32Array.of(-(2 ** 31)))).toEqual([-(2 ** 31)]);
  expect(decoded("U32", Uint32Array.of(2 ** 31))).toEqual([2 ** 31]);
  expect(decoded("I64", BigInt64Array.of(-5n, 2n ** 40n))).toEqual([-5, 2 ** 40]);
  expect(decoded("U64", BigUint64Array.of(2n ** 63n))).toEqual([2 ** 63]);
  expect(decoded("F64", Float64Array.of(0.1, -1e300))).toEqual([Math.fround(0.1), -Infinity]);
  expect(decoded("F32", Float32Array.of(0.1))).toEqual([Math.fround(0.1)]);
});

test("F4: low half of the byte first", () => {
  // 0x7 = 6, 0x1 = 0.5, 0x9 = -0.5, 0xf = -6, 0x2 = 1, 0x8 = -0
  expect(decodeToF32(Uint8Array.of(0x17, 0xf9, 0x82), "F4")).toEqual(
    Float32Array.of(6, 0.5, -0.5, -6, 1, -0),
  );
});

test("F8_E8M0: powers of two", () => {
  expect(decoded("F8_E8M0", Uint8Array.of(0, 126, 127, 128, 254, 255))).toEqual([
    2 ** -127,
    0.5,
    1,
    2,
    2 ** 127,
    NaN,
  ]);
});

/** The same bytes at an odd address. */
function shifted(bytes: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(bytes.length + 1);
  buffer.set(bytes, 1);
  return buffer.subarray(1);
}

test("bytes need not be aligned", () => {
  const values = Float32Array.of(1, -2, 0.5);
  for (const dtype of ["F16", "BF16", "F32", "F64"] as const) {
    expect(decodeToF32(shifted(encodeFromF32(values, dtype)), dtype)).toEqual(values);
  }
  expect(decodeToF32(shifted(new Uint8Array(BigInt64Array.of(7n).buffer)), "I64")[0]).toBe(7);
});

test("a view of a larger buffer is read and encoded where it is", () => {
  const values = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
  for (const dtype of ["F32", "BF16", "F8_E4M3", "F8_E8M0"] as const) {
    expect(decodeToF32(encodeFromF32(values, dtype), dtype)).toEqual(Float32Array.of(1, 2));
  }
});

test("block sizes: values in whole blocks have whole bytes", () => {
  for (const dtype of safetensorsDTypes) {
    const { elements, bytes } = storageBlock(dtype);
    expect(byteLengthOf(dtype, elements * 6)).toBe(bytes * 6);
  }
  expect([byteLengthOf("F4", 8), byteLengthOf("F6_E2M3", 8), byteLengthOf("Q6_K", 512)]).toEqual([
    4, 6, 420,
  ]);
});

test("MisalignedSlice, ByteLengthMismatch, UnknownDType, UnsupportedConversion", async () => {
  await expectCode("MisalignedSlice", () => byteLengthOf("F4", 3));
  await expectCode("MisalignedSlice", () => byteLengthOf("Q4_K", 255));
  await expectCode("ByteLengthMismatch", () => decodeToF32(new Uint8Array(7), "F32"));
  await expectCode("ByteLengthMismatch", () => decodeToF32(new Uint8Array(8), "F32", 3));
  expect(decodeToF32(new Uint8Array(8), "F32", 2)).toHaveLength(2);
  await expectCode("UnknownDType", () => decodeToF32(new Uint8Array(8), "F31" as "F32"));
  await expectCode("UnknownDType", () => byteLengthOf("toString" as "F32", 1));
  for (const dtype of ["C64", "F6_E2M3", "F6_E3M2"] as const) {
    const bytes = new Uint8Array(storageBlock(dtype).bytes);
    await expectCode("UnsupportedConversion", () => decodeToF32(bytes, dtype));
  }
});
