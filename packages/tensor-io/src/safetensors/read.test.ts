import { describe, expect, test } from "vitest";
import type { Checkpoint } from "../checkpoint";
import { encodeFromF32 } from "../encode";
import { bytesSource } from "../source";
import {
  expectCode,
  f32FromBase64,
  goldenBytes,
  goldenJson,
  recordingSource,
  safetensorsBytes,
} from "../test-support";
import { memorySink } from "../sink";
import { openSafetensors } from "./read";
import type { TensorData } from "../tensor-writer";
import { writeSafetensors } from "./write";

async function written(tensors: Record<string, TensorData>): Promise<Uint8Array> {
  const sink = memorySink();
  await writeSafetensors(sink, tensors);
  return sink.bytes();
}

const open = async (tensors: Record<string, TensorData>): Promise<Checkpoint> =>
  openSafetensors(bytesSource(await written(tensors), "w.safetensors"));

test("every type that PyTorch writes, with its names, shapes, metadata and values", async () => {
  const expected =
    await goldenJson<Record<string, { shape: number[]; f32: string }>>("all-dtypes.json");
  const checkpoint = await openSafetensors(
    bytesSource(await goldenBytes("all-dtypes.safetensors")),
  );
  expect(checkpoint.format).toBe("safetensors");
  expect(checkpoint.metadata).toEqual(new Map([["format", "pt é\n"]]));
  expect(checkpoint.tensors.get("complex")).toMatchObject({ dtype: "C64", shape: [2] });
  expect(new Set(checkpoint.tensors.keys())).toEqual(
    new Set([...Object.keys(expected), "complex"]),
  );
  for (const [name, { shape, f32 }] of Object.entries(expected)) {
    expect(checkpoint.tensors.get(name)?.shape).toEqual(shape);
    expect(await checkpoint.read(name, { as: "f32" }), name).toEqual(f32FromBase64(f32));
  }
  const complex = await checkpoint.readBytes("complex");
  expect(Array.from(new Float32Array(complex.buffer))).toEqual([1, 2, -0, -3]);
  await expectCode("UnsupportedConversion", () => checkpoint.read("complex", { as: "f32" }));
});

describe("rows", () => {
  const matrix = Float32Array.from({ length: 12 }, (_, i) => i);

  test("of the first dimension, as values and as bytes", async () => {
    const checkpoint = await open({ w: { shape: [4, 3], data: matrix, dtype: "BF16" } });
    const rows = await checkpoint.read("w", { as: "f32", rows: [1, 3] });
    expect(Array.from(rows)).toEqual([3, 4, 5, 6, 7, 8]);
    const bytes = await checkpoint.readBytes("w", { rows: [1, 3] });
    expect(bytes).toEqual(encodeFromF32(rows, "BF16"));
    expect(await checkpoint.read("w", { as: "f32", rows: [2, 2] })).toHaveLength(0);
    expect(await checkpoint.read("w", { as: "f32", rows: [0, 4] })).toEqual(matrix);
  });

  test("InvalidRows", async () => {
    const checkpoint = await open({
      w: { shape: [4, 3], data: matrix },
      scalar: { shape: [], data: Float32Array.of(1) },
    });
    for (const rows of [
      [0, 5],
      [-1, 1],
      [2, 1],
      [0.5, 1],
      [0, NaN],
    ] as [number, number][]) {
      await expectCode("InvalidRows", () => checkpoint.read("w", { as: "f32", rows }));
    }
    await expectCode("InvalidRows", () => checkpoint.readBytes("scalar", { rows: [0, 1] }));
    expect(await checkpoint.read("scalar", { as: "f32" })).toEqual(Float32Array.of(1));
  });

  test("MisalignedSlice: rows of F4 end on whole bytes", async () => {
    const data = Uint8Array.of(0x21, 0x43, 0x65);
    const checkpoint = await open({ w: { shape: [2, 3], data, dtype: "F4" } });
    await expectCode("MisalignedSlice", () => checkpoint.read("w", { as: "f32", rows: [0, 1] }));
    expect(Array.from(await checkpoint.read("w", { as: "f32", rows: [0, 2] }))).toEqual([
      0.5, 1, 1.5, 2, 3, 4,
    ]);
  });
});

test("only the header and the asked rows are read", async () => {
  const bytes = await written({
    big: { shape: [1000, 64], data: new Float32Array(64_000), dtype: "F16" },
  });
  const source = recordingSource(bytesSource(bytes));
  const checkpoint = await openSafetensors(source);
  const header = bytes.length - 128_000;
  expect(source.reads).toEqual([
    [0, 8],
    [8, header - 8],
  ]);
  await checkpoint.read("big", { as: "f32", rows: [500, 502] });
  expect(source.reads.slice(2)).toEqual([[header + 500 * 128, 256]]);
});

test("a tensor larger than the decoding piece", async () => {
  // 20 MB of BF16 are decoded in two pieces of 16 MB and 4 MB.
  const codes = new Uint16Array(10_000_000);
  const expected = new Uint32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    codes[i] = i % 0x7f80;
    expected[i] = codes[i] << 16;
  }
  const data = new Uint8Array(codes.buffer);
  const bytes = await written({ big: { shape: [10_000_000], data, dtype: "BF16" } });
  const source = recordingSource(bytesSource(bytes));
  const checkpoint = await openSafetensors(source);
  const values = await checkpoint.read("big", { as: "f32" });
  expect(Buffer.compare(Buffer.from(values.buffer), Buffer.from(expected.buffer))).toBe(0);
  expect(source.reads.slice(2).map(([, length]) => length)).toEqual([
    16 * 2 ** 20,
    20_000_000 - 16 * 2 ** 20,
  ]);
});

test("TensorNotFound and SourceClosed", async () => {
  const checkpoint = await open({ a: Float32Array.of(1) });
  await expectCode("TensorNotFound", () => checkpoint.read("b", { as: "f32" }));
  await checkpoint.read("a", { as: "f32" });
  await checkpoint.close();
  await checkpoint.close();
  await expectCode("SourceClosed", () => checkpoint.read("a", { as: "f32" }));
});

test("an abort throws the signal's reason", async () => {
  const checkpoint = await open({ a: Float32Array.of(1) });
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await expect(checkpoint.read("a", { as: "f32", signal })).rejects.toBe(reason);
  await expect(openSafetensors(bytesSource(safetensorsBytes("{}")), { signal })).rejects.toBe(
    reason,
  );
});

test("a source whose file is refused is closed", async () => {
  const source = bytesSource(new Uint8Array(3));
  await expectCode("HeaderTooSmall", () => openSafetensors(source));
  await expectCode("SourceClosed", () => source.read(0, 1));
});
