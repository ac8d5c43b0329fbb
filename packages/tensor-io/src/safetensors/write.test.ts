import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { byteLengthOf, isSafetensorsDType, safetensorsDTypes, storageBlock } from "../dtype";
import { memorySink } from "../sink";
import { fileSink } from "../sink-node";
import { bytesSource } from "../source";
import { expectCode, goldenBytes, temporaryFolder } from "../test-support";
import { compareCodePoints, planSafetensors, type TensorSpec } from "./plan";
import { openSafetensors } from "./read";
import { TensorWriter, type TensorData } from "../tensor-writer";
import { writeSafetensors } from "./write";

/** Writes the tensors of a file again. */
async function rewritten(bytes: Uint8Array): Promise<Uint8Array> {
  const checkpoint = await openSafetensors(bytesSource(bytes));
  const tensors = new Map<string, TensorData>();
  // Reversed, so that the order of the result is the writer's own.
  for (const { name, dtype, shape } of [...checkpoint.tensors.values()].toReversed()) {
    if (!isSafetensorsDType(dtype)) throw new Error(dtype);
    tensors.set(name, { shape, dtype, data: await checkpoint.readBytes(name) });
  }
  const sink = memorySink();
  await writeSafetensors(sink, tensors, { metadata: checkpoint.metadata });
  return sink.bytes();
}

describe("byte for byte as the Rust crate writes", () => {
  test.each([
    "all-dtypes.safetensors",
    "sharded/model-00001-of-00004.safetensors",
    "sharded/model-00003-of-00004.safetensors",
  ])("%s", async (file) => {
    const bytes = await goldenBytes(file);
    expect(await rewritten(bytes)).toEqual(bytes);
  });
});

test("the layout by hand: types by alignment, then names, header padded to 8", () => {
  const plan = planSafetensors(
    [
      { name: "b", dtype: "U8", shape: [3] },
      { name: "c", dtype: "F32", shape: [] },
      { name: "a", dtype: "F32", shape: [0, 2] },
    ],
    { z: "1", y: "2" },
  );
  const text = new TextDecoder().decode(plan.header.subarray(8));
  const json =
    '{"__metadata__":{"y":"2","z":"1"},' +
    '"a":{"dtype":"F32","shape":[0,2],"data_offsets":[0,0]},' +
    '"c":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' +
    '"b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}}';
  expect(text).toBe(json.padEnd(Math.ceil(json.length / 8) * 8));
  expect(plan.byteLength).toBe(plan.header.byteLength + 7);
});

test("names are ordered by code point, as their UTF-8 bytes are", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      expect(Math.sign(compareCodePoints(a, b))).toBe(
        Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
    }),
  );
  expect(compareCodePoints("\uffee", "\u{1f600}")).toBeLessThan(0);
});

const spec: fc.Arbitrary<TensorSpec> = fc
  .record({
    name: fc.string({ unit: "binary", maxLength: 12 }),
    dtype: fc.constantFrom(...safetensorsDTypes),
    rows: fc.array(fc.nat(3), { maxLength: 3 }),
  })
  .filter(({ name }) => name !== "__metadata__")
  .map(({ name, dtype, rows }) => ({
    name,
    dtype,
    shape: [...rows, storageBlock(dtype).elements],
  }));

test("whatever is written is read back, in any order and in pieces", async () => {
  const specs = fc.uniqueArray(spec, { selector: ({ name }) => name, maxLength: 8 });
  const metadata = fc.option(
    fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })),
    {
      nil: undefined,
    },
  );
  await fc.assert(
    fc.asyncProperty(specs, metadata, fc.nat(255), async (tensors, meta, seed) => {
      const sink = memorySink();
      const writer = new TensorWriter(sink, planSafetensors(tensors, meta));
      const data = new Map<string, Uint8Array>();
      const pending: Promise<void>[] = [];
      for (const { name, dtype, shape } of tensors) {
        const count = shape.reduce((a, b) => a * b, 1);
        const bytes = Uint8Array.from({ length: byteLengthOf(dtype, count) }, (_, i) => i + seed);
        data.set(name, bytes);
        const middle = Math.floor(bytes.length / 3);
        pending.push(
          writer.write(name, bytes.subarray(0, middle)),
          writer.write(name, bytes.subarray(middle)),
        );
      }
      await Promise.all(pending);
      await writer.finish();
      const checkpoint = await openSafetensors(bytesSource(sink.bytes()));
      expect(checkpoint.metadata).toEqual(new Map(Object.entries(meta ?? {})));
      expect(checkpoint.tensors.size).toBe(tensors.length);
      for (const { name, dtype, shape } of tensors) {
        expect(checkpoint.tensors.get(name)).toMatchObject({ dtype, shape });
        expect(await checkpoint.readBytes(name)).toEqual(data.get(name));
      }
    }),
  );
});

const planOf = (...specs: TensorSpec[]) => planSafetensors(specs);
const named = (name: string): TensorSpec => ({ name, dtype: "F32", shape: [1] });
const shaped = (...shape: number[]): TensorSpec => ({ name: "a", dtype: "F32", shape });

describe("plans that are refused", () => {
  test("names", async () => {
    planOf(named("a"), named("A"), named("__metadata"), named(""));
    await expectCode("DuplicateTensor", () => planOf(named("a"), named("a")));
    await expectCode("DuplicateTensor", () => planOf(named("a"), { ...named("a"), dtype: "U8" }));
    await expectCode("InvalidTensorName", () => planOf(named("__metadata__")));
    await expectCode("InvalidTensorName", () => planOf(named("\ud800")));
    await expectCode("InvalidTensorName", () => planSafetensors([], { k: "\udc00" }));
    planOf(named("é".repeat(2048)));
    await expectCode("TensorNameTooLong", () => planOf(named("é".repeat(2049))));
  });

  test("types and shapes", async () => {
    planOf(shaped(0, 2 ** 40), named("b"));
    for (const size of [-1, 0.5, NaN, 2 ** 53]) {
      await expectCode("InvalidShape", () => planOf(shaped(size)));
    }
    await expectCode("InvalidShape", () => planOf(shaped(2 ** 30, 2 ** 30)));
    await expectCode("RankTooLarge", () => planOf(shaped(...Array<number>(17).fill(1))));
    planOf(shaped(...Array<number>(16).fill(1)));
    await expectCode("UnknownDType", () => planOf({ ...shaped(1), dtype: "Q8_0" as "F32" }));
    await expectCode("MisalignedSlice", () => planOf({ ...shaped(3), dtype: "F4" }));
  });

  test("HeaderTooLarge", async () => {
    await expectCode("HeaderTooLarge", () => planSafetensors([], { k: "v".repeat(100_000_000) }));
  });
});

describe("a file on the disk", () => {
  const specs: TensorSpec[] = [
    { name: "a", dtype: "U8", shape: [4] },
    { name: "b", dtype: "U8", shape: [2] },
  ];

  async function target() {
    const path = await temporaryFolder();
    const file = join(path, "new", "m.safetensors");
    const sink = fileSink(file);
    return { file, sink, list: () => readdir(join(path, "new")), plan: planSafetensors(specs) };
  }

  test("appears under its name when it is whole, and not before", async () => {
    const { file, sink, list, plan } = await target();
    const writer = new TensorWriter(sink, plan);
    await writer.write("b", Uint8Array.of(5, 6));
    await writer.write("a", Uint8Array.of(1, 2, 3, 4));
    expect(writer.complete).toBe(true);
    expect(await list()).toEqual([
      expect.stringMatching(/^\.m\.safetensors\.[0-9a-f]{12}\.partial$/),
    ]);
    await writer.finish();
    expect(await list()).toEqual(["m.safetensors"]);
    expect(new Uint8Array(await readFile(file))).toEqual(
      Uint8Array.of(...plan.header, 1, 2, 3, 4, 5, 6),
    );
  });

  test("abort leaves nothing", async () => {
    const { sink, list, plan } = await target();
    const writer = new TensorWriter(sink, plan);
    await writer.write("a", Uint8Array.of(1, 2, 3, 4));
    expect(await list()).toHaveLength(1);
    await writer.abort();
    expect(await list()).toEqual([]);
    await expectCode("SinkClosed", () => writer.write("b", Uint8Array.of(1, 2)));
    await expectCode("SinkClosed", () => sink.commit());
  });

  test("TensorIncomplete, TensorOverrun and TensorNotFound leave nothing", async () => {
    for (const [code, work] of [
      ["TensorIncomplete", (w: TensorWriter) => w.finish()],
      ["TensorOverrun", (w: TensorWriter) => w.write("a", new Uint8Array(3))],
      ["TensorNotFound", (w: TensorWriter) => w.write("c", new Uint8Array(1))],
    ] as const) {
      const { sink, list, plan } = await target();
      const writer = new TensorWriter(sink, plan);
      await writer.write("a", new Uint8Array(2));
      await expectCode(code, () => work(writer));
      expect(await list(), code).toEqual([]);
    }
  });

  test("a failing tensor in writeSafetensors leaves nothing", async () => {
    const { sink, list } = await target();
    const tensors: Record<string, TensorData> = {
      a: Float32Array.of(1),
      b: { shape: [1], dtype: "F16", data: Float32Array.of(1e6) },
    };
    await expectCode("ValueNotRepresentable", () => writeSafetensors(sink, tensors));
    expect(await list()).toEqual([]);
  });

  test("WriteFailed names the file", async () => {
    const path = await temporaryFolder();
    const blocked = join(path, "file");
    await writeSafetensors(fileSink(blocked), { a: Float32Array.of(1) });
    const error = await expectCode("WriteFailed", () =>
      writeSafetensors(fileSink(join(blocked, "below.safetensors")), { a: Float32Array.of(1) }),
    );
    expect(error.message).toContain("below.safetensors");
    // A folder in the place of the file: the rename fails, the temporary file goes.
    await writeSafetensors(fileSink(join(path, "dir", "inside")), {});
    await expectCode("WriteFailed", () => writeSafetensors(fileSink(join(path, "dir")), {}));
    expect(await readdir(path)).toEqual(["dir", "file"]);
  });
});

test("writeSafetensors: ByteLengthMismatch, an abort and a sink used twice", async () => {
  const sink = memorySink("m");
  await expectCode("ByteLengthMismatch", () =>
    writeSafetensors(sink, { a: { shape: [3], data: Float32Array.of(1, 2) } }),
  );
  await expectCode("SinkClosed", () => sink.bytes());
  const reason = new Error("enough");
  const aborted = writeSafetensors(
    memorySink(),
    { a: Float32Array.of(1) },
    { signal: AbortSignal.abort(reason) },
  );
  await expect(aborted).rejects.toBe(reason);
});
