import { referenceDevice } from "@transmla/kernels";
import { bytesSource, memorySink } from "@transmla/tensor-io";
import { describe, expect, test } from "vitest";
import { packBatch } from "./batch";
import { BatchStream, documentList } from "./documents";
import { modelTeacher, type Teacher } from "./teacher";
import { openTeacherCache, writeTeacherCache } from "./teacher-cache";
import { goldenModel } from "./testing/golden";
import { TrainableModel } from "./trainable-model";
import { Trainer } from "./trainer";

const device = referenceDevice();
const documents = documentList(
  [9, 4, 14].map((length, i) => ({
    tokens: Int32Array.from({ length }, (_, t) => (13 * i + 7 * t) % 96),
  })),
);
const identity = { name: "golden llama", vocabSize: 96 };

async function goldenTeacher(): Promise<Teacher> {
  const files = await goldenModel("llama-bias");
  const teacher = modelTeacher(await TrainableModel.load(files, device));
  await files.close();
  return teacher;
}

async function cacheOf(teacher: Teacher, topK: number): Promise<Uint8Array> {
  const sink = memorySink("cache");
  await writeTeacherCache(sink, teacher, device, 96, documents, { topK, name: identity.name });
  return sink.bytes();
}

async function logitsOf(teacher: Teacher, rows: Int32Array): Promise<Float32Array> {
  const batch = packBatch([await documents.read(2), await documents.read(0)], [2, 0]);
  await teacher.prepare?.(batch);
  return device.read(device.scope(() => teacher.logits(batch).rows(device, rows)));
}

const softmax = (row: Float32Array): Float64Array => {
  const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
  return Float64Array.from(row, (value) => Math.exp(value) / total);
};

describe("logits of a teacher on disk", () => {
  test("keep the probabilities of the largest, and what is left as a whole", async () => {
    const teacher = await goldenTeacher();
    const cached = await openTeacherCache(
      bytesSource(await cacheOf(teacher, 5), "cache"),
      documents,
      identity,
    );
    // Rows of both documents, out of the order of the file.
    const rows = Int32Array.of(0, 12, 13, 20);
    const [exact, kept] = [await logitsOf(teacher, rows), await logitsOf(cached, rows)];
    for (let t = 0; t < rows.length; t++) {
      const [p, q] = [exact, kept].map((all) => softmax(all.subarray(96 * t, 96 * (t + 1))));
      const order = [...p!.keys()].toSorted((a, b) => p![b]! - p![a]!);
      for (const token of order.slice(0, 5)) expect(q![token]).toBeCloseTo(p![token]!, 5);
      const rest = order.slice(5).map((token) => q![token]!);
      const sum = order.slice(5).reduce((total, token) => total + p![token]!, 0);
      for (const value of rest) expect(value).toBeCloseTo(sum / 91, 6);
    }
  });

  test("train as the teacher itself does when nearly all are kept", async () => {
    const teacher = await goldenTeacher();
    const bytes = await cacheOf(teacher, 95);
    const cached = await openTeacherCache(bytesSource(bytes, "cache"), documents, identity);
    const losses = [];
    for (const one of [teacher, cached]) {
      const files = await goldenModel("llama");
      const student = await TrainableModel.load(files, device, { train: "all" });
      const data = new BatchStream(documents, { tokens: 20, seed: 1 });
      const options = { objective: { divergence: 1 }, teacher: one, steps: 3, rate: 1e-2 };
      const trainer = new Trainer(student, data, options);
      while (trainer.step < 3) losses.push((await trainer.next()).loss);
      await files.close();
    }
    for (let i = 0; i < 3; i++) expect(losses[i + 3]).toBeCloseTo(losses[i]!, 4);
  });

  test("are refused for another teacher, other data, or no cache at all", async () => {
    const source = bytesSource(await cacheOf(await goldenTeacher(), 3), "cache");
    const other = documentList([{ tokens: Int32Array.of(1, 2, 3) }]);
    await expect(openTeacherCache(source, other, identity)).rejects.toMatchObject({
      code: "SettingsChanged",
      context: { changed: ["hash"] },
    });
    await expect(
      openTeacherCache(source, documents, { ...identity, name: "somebody" }),
    ).rejects.toMatchObject({ code: "SettingsChanged", context: { changed: ["name"] } });
    const none = memorySink("none");
    const { writeSafetensors } = await import("@transmla/tensor-io");
    await writeSafetensors(none, { x: Float32Array.of(1) });
    await expect(
      openTeacherCache(bytesSource(none.bytes(), "none"), documents, identity),
    ).rejects.toMatchObject({ code: "InvalidCheckpoint" });
  });

  test("say nothing of attention", async () => {
    const bytes = await cacheOf(await goldenTeacher(), 3);
    const cached = await openTeacherCache(bytesSource(bytes, "cache"), documents, identity);
    const batch = packBatch([await documents.read(0)]);
    expect(() => cached.visitAttention(batch, () => undefined)).toThrow(/no attention/);
    expect(() => cached.logits(batch)).toThrow(/prepared/);
  });
});
