import { describe, expect, test } from "vitest";
import { ggufBlockDTypes } from "../dtype";
import { bytesSource } from "../source";
import {
  expectCode,
  f32FromBase64,
  GgufBytes,
  goldenBytes,
  goldenJson,
  recordingSource,
} from "../test-support";
import { openGguf } from "./read";

const golden = await goldenBytes("every-type.gguf");
const expected =
  await goldenJson<Record<string, { dtype: string; shape: number[]; f32: string }>>(
    "every-type.json",
  );
const open = (bytes: Uint8Array) => openGguf(bytesSource(bytes, "m.gguf"));

describe("a file that the Python package wrote", () => {
  test("every block type is in it", () => {
    const types = new Set(Object.values(expected).map(({ dtype }) => dtype));
    expect(ggufBlockDTypes.every((dtype) => types.has(dtype))).toBe(true);
  });

  test.each(Object.keys(expected))("%s: shape and values, bit for bit", async (name) => {
    const { dtype, shape, f32 } = expected[name];
    const checkpoint = await open(golden);
    expect(checkpoint.tensors.get(name)).toMatchObject({ name, dtype, shape, file: "m.gguf" });
    const values = f32FromBase64(f32);
    expect(await checkpoint.read(name, { as: "f32" })).toEqual(values);
    const row = values.length / shape[0];
    const second = await checkpoint.read(name, { as: "f32", rows: [1, 2] });
    expect(second).toEqual(values.subarray(row, 2 * row));
  });

  test("metadata of every type", async () => {
    const { values, metadata, version, format } = await open(golden);
    expect([version, format]).toEqual([3, "gguf"]);
    expect(Object.fromEntries(values)).toEqual({
      "general.architecture": "llama",
      "t.u8": 200,
      "t.i8": -100,
      "t.u16": 60_000,
      "t.i16": -30_000,
      "t.u32": 4_000_000_000,
      "t.i32": -2_000_000_000,
      "t.f32": Math.fround(0.1),
      "t.bool": true,
      "t.string": "héllo 😀",
      "t.u64.small": 7,
      "t.u64": 2n ** 64n - 1n,
      "t.i64": -(2n ** 63n),
      "t.f64": 0.1,
      "t.strings": ["a", "", "ü"],
      "t.bools": [true, false],
      "t.ints": Int32Array.of(-1, 2),
      "t.floats": Float32Array.of(0.5, -1.5),
      "t.u8s": Uint8Array.of(0, 255),
      "t.i64s": BigInt64Array.of(-(2n ** 63n), 1n),
      "t.u64s": BigUint64Array.of(2n ** 64n - 1n),
    });
    expect(Object.fromEntries(metadata)).toEqual({
      "general.architecture": "llama",
      "t.string": "héllo 😀",
    });
  });

  test("version 2 has the same layout", async () => {
    const second = golden.slice();
    second[4] = 2;
    const checkpoint = await open(second);
    expect([checkpoint.version, checkpoint.tensors.size]).toEqual([
      2,
      Object.keys(expected).length,
    ]);
  });
});

test("one block of Q4_1 and of Q8_0 by hand", async () => {
  // 0x3800 = 0.5, 0xbc00 = -1: value = 0.5 q - 1, low halves first.
  const bytes = new GgufBytes()
    .counts(2, 0)
    .tensor("a", [32], 3, 0)
    .tensor("b", [32], 8, 32)
    .end(32 + 34);
  const begin = bytes.length - 66;
  bytes.set([0x00, 0x38, 0x00, 0xbc, 0xf2], begin);
  bytes.set([0x00, 0x38, 0x80, 0x7f], begin + 32);
  const checkpoint = await open(bytes);
  const a = await checkpoint.read("a", { as: "f32" });
  expect([a[0], a[1], a[16], a[17]]).toEqual([0.5 * 2 - 1, -1, 0.5 * 15 - 1, -1]);
  const b = await checkpoint.read("b", { as: "f32" });
  expect([b[0], b[1], b[2]]).toEqual([-64, 63.5, 0]);
});

test("row slices of a vector fall on block borders", async () => {
  const checkpoint = await open(new GgufBytes().counts(1, 0).tensor("a", [64], 8, 0).end(68));
  expect(await checkpoint.read("a", { as: "f32", rows: [32, 64] })).toHaveLength(32);
  await expectCode("MisalignedSlice", () => checkpoint.read("a", { as: "f32", rows: [0, 16] }));
});

test("only the header and the asked rows are read", async () => {
  const rows = 100_000;
  const source = recordingSource(
    bytesSource(
      new GgufBytes()
        .counts(1, 0)
        .tensor("a", [32, rows], 8, 0)
        .end(34 * rows),
    ),
  );
  const checkpoint = await openGguf(source);
  // One window of a megabyte holds the header, whatever its size is.
  expect(source.reads).toEqual([[0, 2 ** 20]]);
  await checkpoint.read("a", { as: "f32", rows: [99_998, 100_000] });
  expect(source.reads[1]).toEqual([source.size - 68, 68]);
});

test("strings that cross the borders of the reading window", async () => {
  const words = Array.from({ length: 3000 }, (_, i) => "é".repeat(i % 700) + i);
  const bytes = new GgufBytes().counts(0, 2).string("words").u32(9).u32(8).u64(words.length);
  for (const word of words) bytes.string(word);
  bytes
    .string("numbers")
    .u32(9)
    .u32(12)
    .u64(2)
    .raw(new Uint8Array(Float64Array.of(1, 2).buffer));
  const { values } = await open(bytes.end());
  expect(values.get("words")).toEqual(words);
  expect(values.get("numbers")).toEqual(Float64Array.of(1, 2));
});
