import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeToF32 } from "../decode";
import type { GgufDType } from "../dtype";
import { encodeFromF32 } from "../encode";
import type { TensorIoErrorCode } from "../errors";
import { memorySink } from "../sink";
import { bytesSource } from "../source";
import { TensorWriter, type TensorData } from "../tensor-writer";
import { expectCode, f32FromBase64, fromBase64, goldenBytes, goldenJson } from "../test-support";
import { ggufEntries, type GgufEntry } from "./entries";
import { planGguf, type GgufTensorSpec } from "./plan";
import { openGguf } from "./read";
import { writeGguf } from "./write";

const one: GgufTensorSpec = { name: "a", dtype: "F32", shape: [2, 3] };
const u32 = (value: number): GgufEntry => ({ type: "u32", value });

test("byte for byte as the Python package writes: every metadata and element type", async () => {
  const golden = await goldenBytes("every-type.gguf");
  const checkpoint = await openGguf(bytesSource(golden));
  const tensors = new Map<string, TensorData<GgufDType>>();
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    const data = await checkpoint.readBytes(name);
    tensors.set(name, { shape, dtype: dtype as GgufDType, data });
  }
  const sink = memorySink();
  await writeGguf(sink, tensors, ggufEntries(checkpoint));
  expect(sink.bytes()).toEqual(golden);
});

test("Q8_0 blocks as the Python package quantises them", async () => {
  const { f32, q8_0 } = await goldenJson<{ f32: string; q8_0: string }>("q8_0.json");
  const values = f32FromBase64(f32);
  const bytes = encodeFromF32(values, "Q8_0");
  expect(bytes).toEqual(fromBase64(q8_0));
  const restored = decodeToF32(bytes, "Q8_0");
  for (let block = 0; block < values.length; block += 32) {
    const before = values.subarray(block, block + 32);
    const largest = Math.max(...before.map(Math.abs));
    for (const [i, value] of before.entries()) {
      // Half a step, the rounding of the scale to 11 bits, and the smallest scale there is.
      const bound = largest * (0.5 / 127 + 2 ** -11) + 127 * 2 ** -25;
      expect(Math.abs(restored[block + i] - value)).toBeLessThanOrEqual(bound);
    }
  }
});

test("Q8_0 refuses what its scale cannot hold, by index", async () => {
  const values = new Float32Array(64);
  expect(encodeFromF32(values.fill(127 * 65504, 40, 41), "Q8_0")).toHaveLength(68);
  for (const bad of [NaN, Infinity, 127 * 65600]) {
    values[40] = bad;
    const error = await expectCode("ValueNotRepresentable", () => encodeFromF32(values, "Q8_0"));
    expect(error.context).toMatchObject({ index: 40, dtype: "Q8_0" });
  }
  await expectCode("MisalignedSlice", () => encodeFromF32(new Float32Array(33), "Q8_0"));
});

test("tensors in any order and in pieces; gaps and the end are zeros", async () => {
  const specs: GgufTensorSpec[] = [
    { name: "odd", dtype: "I8", shape: [3] },
    { name: "b", dtype: "F16", shape: [2] },
  ];
  const plan = planGguf(specs, new Map([["general.alignment", u32(64)]]));
  const sink = memorySink();
  const writer = new TensorWriter(sink, plan);
  await writer.write("b", Uint8Array.of(1, 2));
  await writer.write("odd", Uint8Array.of(7, 8, 9));
  await writer.write("b", Uint8Array.of(3, 4));
  await writer.finish();
  const bytes = sink.bytes();
  expect(bytes.length).toBe(plan.byteLength);
  expect(plan.tensors.map(({ begin }) => begin % 64)).toEqual([0, 0]);
  const data = bytes.subarray(plan.header.byteLength);
  const expected = new Uint8Array(128);
  expected.set([7, 8, 9]);
  expected.set([1, 2, 3, 4], 64);
  expect(data).toEqual(expected);
  const checkpoint = await openGguf(bytesSource(bytes));
  expect(await checkpoint.readBytes("b")).toEqual(Uint8Array.of(1, 2, 3, 4));
});

/** What is refused, with a sound twin. */
const cases: [
  TensorIoErrorCode,
  GgufTensorSpec[],
  [string, GgufEntry][],
  GgufTensorSpec[],
  [string, GgufEntry][],
][] = [
  ["GgufInvalidKey", [], [["", true]], [], [["k", true]]],
  ["GgufInvalidKey", [], [["k".repeat(65_536), true]], [], [["k".repeat(65_535), true]]],
  [
    "GgufInvalidAlignment",
    [],
    [["general.alignment", u32(24)]],
    [],
    [["general.alignment", u32(16)]],
  ],
  [
    "GgufInvalidAlignment",
    [],
    [["general.alignment", { type: "u64", value: 32 }]],
    [],
    [["alignment", { type: "u64", value: 32 }]],
  ],
  [
    "GgufValueRange",
    [],
    [["k", { type: "u8", value: 256 }]],
    [],
    [["k", { type: "u8", value: 255 }]],
  ],
  [
    "GgufValueRange",
    [],
    [["k", { type: "i32", value: 0.5 }]],
    [],
    [["k", { type: "f32", value: 0.5 }]],
  ],
  [
    "GgufValueRange",
    [],
    [["k", { type: "u64", value: -1 }]],
    [],
    [["k", { type: "u64", value: 2n ** 64n - 1n }]],
  ],
  [
    "GgufValueRange",
    [],
    [["k", { type: "i64", value: 2 ** 60 + 0.0 }]],
    [],
    [["k", { type: "i64", value: 2n ** 60n }]],
  ],
  [
    "GgufInvalidTensorName",
    [{ ...one, name: "n".repeat(64) }],
    [],
    [{ ...one, name: "n".repeat(63) }],
    [],
  ],
  ["GgufInvalidTensorName", [{ ...one, name: "\ud800" }], [], [{ ...one, name: "é" }], []],
  ["DuplicateTensor", [one, one], [], [one, { ...one, name: "b" }], []],
  [
    "GgufInvalidRank",
    [{ ...one, shape: [1, 1, 1, 1, 1] }],
    [],
    [{ ...one, shape: [1, 1, 1, 1] }],
    [],
  ],
  ["GgufInvalidShape", [{ ...one, shape: [0, 2] }], [], [{ ...one, shape: [1, 2] }], []],
  [
    "GgufUnsupportedType",
    [{ ...one, dtype: "U16" as GgufDType }],
    [],
    [{ ...one, dtype: "I16" }],
    [],
  ],
  [
    "GgufMisalignedRow",
    [{ ...one, dtype: "Q4_K", shape: [2, 128] }],
    [],
    [{ ...one, dtype: "Q4_K", shape: [1, 256] }],
    [],
  ],
];

describe("refused before anything is written", () => {
  test.each(cases)("%s %#", async (code, badTensors, badEntries, tensors, entries) => {
    await expectCode(code, () => planGguf(badTensors, new Map(badEntries)));
    expect(planGguf(tensors, new Map(entries)).byteLength).toBeGreaterThan(0);
  });
});

test("a failed write leaves no file", async () => {
  const sink = memorySink();
  await expectCode("ByteLengthMismatch", () =>
    writeGguf(sink, { a: { shape: [3], dtype: "F16", data: new Uint8Array(5) } }, new Map()),
  );
  await expectCode("SinkClosed", () => sink.bytes());
});

test("any metadata and any tensors are read back as they were given", async () => {
  const integers = {
    u8: [0, 255],
    i8: [-128, 127],
    u16: [0, 65_535],
    i16: [-32_768, 32_767],
    i32: [-(2 ** 31), 2 ** 31 - 1],
  } as const;
  const number = fc
    .constantFrom(...(Object.keys(integers) as (keyof typeof integers)[]))
    .chain((type) =>
      fc
        .integer({ min: integers[type][0], max: integers[type][1] })
        .map((value): GgufEntry => ({ type, value })),
    );
  const text = fc.string({ unit: "grapheme", maxLength: 20 });
  const entry: fc.Arbitrary<GgufEntry> = fc.oneof(
    number,
    text,
    fc.boolean(),
    fc.array(text),
    fc.array(fc.boolean(), { minLength: 1 }),
    fc.int32Array(),
    fc.float32Array({ noNaN: true }),
    fc.bigInt64Array(),
  );
  const key = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 20 })
    .filter((name) => name !== "general.alignment");
  const tensor = fc.float32Array({ minLength: 1, maxLength: 40, noNaN: true });
  const name = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 63 });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.tuple(key, entry), { selector: ([k]) => k }),
      fc.uniqueArray(fc.tuple(name, tensor), { selector: ([n]) => n }),
      async (entries, tensors) => {
        const sink = memorySink();
        await writeGguf(sink, new Map(tensors), new Map(entries));
        const checkpoint = await openGguf(bytesSource(sink.bytes()));
        expect(ggufEntries(checkpoint)).toEqual(new Map(entries));
        for (const [tensorName, values] of tensors) {
          expect(await checkpoint.read(tensorName, { as: "f32" })).toEqual(values);
        }
      },
    ),
  );
});
