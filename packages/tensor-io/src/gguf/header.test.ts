import { describe, expect, test } from "vitest";
import type { TensorIoErrorCode } from "../errors";
import { bytesSource, type ByteSource } from "../source";
import { expectCode, GgufBytes } from "../test-support";
import { openGguf } from "./read";

const open = (bytes: Uint8Array) => openGguf(bytesSource(bytes, "m.gguf"));
const key = (name: string, type: number, value: Uint8Array) =>
  new GgufBytes().counts(0, 1).string(name).u32(type).raw(value).end();
const bytes = (...values: number[]) => Uint8Array.from(values);
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: number | bigint) => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
/** One tensor of 32 f32, or what is given instead. */
const tensor = ({
  name = "a",
  dims = [32] as (number | bigint)[],
  type = 0,
  offset = 0,
  data = 128,
} = {}) => new GgufBytes().counts(1, 0).tensor(name, dims, type, offset).end(data);

/** Each bad file with a sound twin that differs in the one thing. */
const cases: [TensorIoErrorCode, string, Uint8Array, Uint8Array][] = [
  [
    "GgufBadMagic",
    "another magic",
    new GgufBytes("GGUE").counts(0, 0).end(),
    new GgufBytes("GGUF").counts(0, 0).end(),
  ],
  ["GgufBadMagic", "three bytes", bytes(0x47, 0x47, 0x55), new GgufBytes().counts(0, 0).end()],
  [
    "GgufBigEndian",
    "version 3 in big-endian",
    new GgufBytes("GGUF", 0x03000000).counts(0, 0).end(),
    new GgufBytes("GGUF", 3).counts(0, 0).end(),
  ],
  [
    "GgufUnsupportedVersion",
    "version 1",
    new GgufBytes("GGUF", 1).counts(0, 0).end(),
    new GgufBytes("GGUF", 2).counts(0, 0).end(),
  ],
  [
    "GgufUnsupportedVersion",
    "version 0",
    new GgufBytes("GGUF", 0).counts(0, 0).end(),
    new GgufBytes("GGUF", 2).counts(0, 0).end(),
  ],
  [
    "GgufUnsupportedVersion",
    "version 4",
    new GgufBytes("GGUF", 4).counts(0, 0).end(),
    new GgufBytes("GGUF", 3).counts(0, 0).end(),
  ],
  [
    "GgufTruncated",
    "more keys than bytes",
    new GgufBytes().counts(0, 2n ** 63n).end(),
    new GgufBytes().counts(0, 0).end(),
  ],
  [
    "GgufTruncated",
    "more tensors than bytes",
    new GgufBytes().counts(2n ** 64n - 1n, 0).end(),
    new GgufBytes().counts(0, 0).end(),
  ],
  ["GgufTruncated", "a string beyond the end", key("k", 8, u64(2n ** 40n)), key("k", 8, u64(0))],
  [
    "GgufTruncated",
    "an array beyond the end",
    key("k", 9, bytes(...u32(12), ...u64(2n ** 61n))),
    key("k", 9, bytes(...u32(12), ...u64(0))),
  ],
  [
    "GgufTruncated",
    "strings beyond the end",
    key("k", 9, bytes(...u32(8), ...u64(2n ** 61n))),
    key("k", 9, bytes(...u32(8), ...u64(0))),
  ],
  [
    "GgufTruncated",
    "booleans beyond the end",
    key("k", 9, bytes(...u32(7), ...u64(2n ** 61n))),
    key("k", 9, bytes(...u32(7), ...u64(0))),
  ],
  [
    "GgufTruncated",
    "the end within a value",
    key("k", 0, bytes(1)).subarray(0, 37),
    key("k", 0, bytes(1)),
  ],
  ["GgufTruncated", "tensor data beyond the end", tensor({ data: 127 }), tensor({ data: 128 })],
  ["GgufTruncated", "much tensor data beyond the end", tensor({ dims: [2 ** 40] }), tensor()],
  ["GgufInvalidKey", "an empty key", key("", 0, bytes(1)), key("k", 0, bytes(1))],
  [
    "GgufInvalidKey",
    "a long key",
    key("k".repeat(65_536), 0, bytes(1)),
    key("k".repeat(65_535), 0, bytes(1)),
  ],
  [
    "GgufDuplicateKey",
    "a key twice",
    new GgufBytes().counts(0, 2).string("k").u32(4).u32(1).string("k").u32(4).u32(1).end(),
    new GgufBytes().counts(0, 2).string("k").u32(4).u32(1).string("l").u32(4).u32(1).end(),
  ],
  ["GgufInvalidType", "type 13", key("k", 13, u64(0)), key("k", 12, u64(0))],
  [
    "GgufInvalidType",
    "an array of arrays",
    key("k", 9, bytes(...u32(9), ...u64(0))),
    key("k", 9, bytes(...u32(4), ...u64(0))),
  ],
  ["GgufInvalidBool", "boolean 2", key("k", 7, bytes(2)), key("k", 7, bytes(1))],
  [
    "GgufInvalidBool",
    "boolean 2 in an array",
    key("k", 9, bytes(...u32(7), ...u64(1), 2)),
    key("k", 9, bytes(...u32(7), ...u64(1), 0)),
  ],
  [
    "InvalidUtf8",
    "a string that is not UTF-8",
    key("k", 8, bytes(...u64(1), 0xff)),
    key("k", 8, bytes(...u64(1), 0x41)),
  ],
  [
    "GgufInvalidAlignment",
    "alignment 48",
    key("general.alignment", 4, u32(48)),
    key("general.alignment", 4, u32(64)),
  ],
  [
    "GgufInvalidAlignment",
    "alignment 0",
    key("general.alignment", 4, u32(0)),
    key("general.alignment", 4, u32(1)),
  ],
  [
    "GgufInvalidAlignment",
    "alignment as u64",
    key("general.alignment", 10, u64(32)),
    key("general.alignment", 4, u32(32)),
  ],
  ["GgufInvalidTensorName", "an empty name", tensor({ name: "" }), tensor({ name: "a" })],
  [
    "GgufInvalidTensorName",
    "a name of 64 bytes",
    tensor({ name: "n".repeat(64) }),
    tensor({ name: "n".repeat(63) }),
  ],
  [
    "GgufDuplicateTensor",
    "a name twice",
    new GgufBytes().counts(2, 0).tensor("a", [8], 0, 0).tensor("a", [8], 0, 32).end(64),
    new GgufBytes().counts(2, 0).tensor("a", [8], 0, 0).tensor("b", [8], 0, 32).end(64),
  ],
  [
    "GgufInvalidRank",
    "5 dimensions",
    tensor({ dims: [1, 1, 1, 1, 32] }),
    tensor({ dims: [1, 1, 1, 32] }),
  ],
  ["GgufInvalidShape", "a zero dimension", tensor({ dims: [32, 0] }), tensor({ dims: [32, 1] })],
  [
    "GgufInvalidShape",
    "an overflowing shape",
    tensor({ dims: [2n ** 32n, 2n ** 32n, 2n ** 32n] }),
    tensor({ dims: [4, 4, 2] }),
  ],
  [
    "GgufUnsupportedType",
    "IQ2_XXS",
    tensor({ dims: [256], type: 16, data: 66 }),
    tensor({ dims: [256], type: 14, data: 210 }),
  ],
  ["GgufUnsupportedType", "type 2^32 - 1", tensor({ type: 2 ** 32 - 1 }), tensor({ type: 26 })],
  [
    "GgufMisalignedRow",
    "rows of 48 in blocks of 32",
    tensor({ dims: [48, 2], type: 8, data: 102 }),
    tensor({ dims: [32, 3], type: 8, data: 102 }),
  ],
  [
    "GgufInvalidOffset",
    "a gap",
    tensor({ offset: 32, data: 160 }),
    tensor({ offset: 0, data: 128 }),
  ],
  [
    "GgufInvalidOffset",
    "an overlap",
    new GgufBytes().counts(2, 0).tensor("a", [9], 0, 0).tensor("b", [8], 0, 32).end(96),
    new GgufBytes().counts(2, 0).tensor("a", [9], 0, 0).tensor("b", [8], 0, 64).end(96),
  ],
];

describe("bad files with sound twins", () => {
  test.each(cases)("%s: %s", async (code, _, bad, sound) => {
    await open(sound);
    const error = await expectCode(code, () => open(bad));
    expect(error.message).toMatch(/^m\.gguf: /);
  });
});

/** A source that says it is a terabyte: the bytes need not exist, the check comes before they are read. */
function claims(head: Uint8Array): ByteSource {
  const bytesThere = new Uint8Array(2 ** 20);
  bytesThere.set(head);
  return { ...bytesSource(bytesThere, "m.gguf"), size: 2 ** 40 };
}

test("GgufTooLarge: more entries or longer values than are held, though the bytes are there", async () => {
  const huge = [
    new GgufBytes().counts(0, 2 ** 20 + 1).end(),
    new GgufBytes().counts(2 ** 20 + 1, 0).end(),
    key("k", 8, u64(2 ** 28 + 1)),
    key("k", 9, bytes(...u32(8), ...u64(2 ** 24 + 1))),
    key("k", 9, bytes(...u32(7), ...u64(2 ** 24 + 1))),
  ];
  for (const head of huge) await expectCode("GgufTooLarge", () => openGguf(claims(head)));
});

test("alignment moves the data", async () => {
  const file = new GgufBytes()
    .counts(1, 1)
    .string("general.alignment")
    .u32(4)
    .u32(256)
    .tensor("a", [2], 0, 0)
    .end(8, 256);
  file.set(new Uint8Array(Float32Array.of(1, 2).buffer), 256);
  const checkpoint = await open(file);
  expect(await checkpoint.read("a", { as: "f32" })).toEqual(Float32Array.of(1, 2));
});

test("a tensor without dimensions is a scalar", async () => {
  const checkpoint = await open(tensor({ dims: [], data: 4 }));
  expect(checkpoint.tensors.get("a")).toMatchObject({ shape: [], byteLength: 4 });
  expect(await checkpoint.read("a", { as: "f32" })).toHaveLength(1);
});
