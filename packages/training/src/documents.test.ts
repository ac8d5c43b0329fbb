import { describe, expect, test } from "vitest";
import { packBatch } from "./batch";
import { BatchStream, documentList, textDocuments } from "./documents";
import { TrainingError } from "./errors";
import { schedule } from "./schedule";

const document = (...tokens: number[]) => ({ tokens: Int32Array.from(tokens) });

describe("packing", () => {
  test("every token but the last is an input, positions begin anew, weights follow the targets", () => {
    const weights = Float32Array.of(9, 0, 2);
    const batch = packBatch([document(1, 2), { ...document(3, 4, 5), weights }], [7, 8]);
    expect([...batch.ids]).toEqual([1, 3, 4]);
    expect([...batch.targets]).toEqual([2, 4, 5]);
    expect([...batch.weights]).toEqual([1, 0, 2]);
    expect([...batch.positions]).toEqual([0, 0, 1]);
    expect([...batch.documents]).toEqual([0, 1]);
    expect([...batch.origins]).toEqual([7, 8]);
  });

  test("a text is cut so that every token but the first is predicted once", async () => {
    const tokens = Int32Array.from({ length: 11 }, (_, i) => i);
    const source = textDocuments(tokens, 4);
    const batches = await Promise.all(
      Array.from({ length: source.count }, (_, i) => source.read(i)),
    );
    const targets = batches.flatMap((each) => [...packBatch([each]).targets]);
    expect(targets).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});

describe("a stream of batches", () => {
  const documents = Array.from({ length: 10 }, (_, i) =>
    document(...Array.from({ length: 2 + (i % 3) }, () => i)),
  );
  const streamOf = (seed: number, tokens = 5) =>
    new BatchStream(documentList(documents), { tokens, seed });
  const seen = async (stream: BatchStream, batches: number) => {
    const found: number[] = [];
    for (let i = 0; i < batches; i++) {
      const { origins, ids } = await stream.next();
      expect(ids.length).toBeLessThanOrEqual(5);
      found.push(...origins);
    }
    return found;
  };

  test("has every document once per epoch, in an order of its own", async () => {
    const order = await seen(streamOf(1), 9);
    const [first, second] = [order.slice(0, 10), order.slice(10, 20)];
    expect(first.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(second).not.toEqual(first.slice(0, second.length));
  });

  test("repeats by its seed, and from any position", async () => {
    const stream = streamOf(2);
    const before = await seen(stream, 3);
    const { position } = stream;
    const after = await seen(stream, 6);
    expect(await seen(streamOf(2), 9)).toEqual([...before, ...after]);
    expect(await seen(streamOf(3), 9)).not.toEqual([...before, ...after]);
    const again = streamOf(2);
    again.position = position;
    expect(await seen(again, 6)).toEqual(after);
  });

  test("cuts a document that is longer than a batch", async () => {
    const stream = new BatchStream(documentList([document(1, 2, 3, 4, 5)]), { tokens: 2, seed: 0 });
    expect([...(await stream.next()).targets]).toEqual([2, 3]);
  });

  test("refuses data without documents and texts without predictions", () => {
    for (const action of [
      () => new BatchStream(documentList([]), { tokens: 1, seed: 0 }),
      () => textDocuments(Int32Array.of(1), 4),
    ]) {
      expect(action).toThrow(TrainingError);
    }
    expect(() => streamOf(1, 0)).toThrow(/from 1, got 0/);
  });
});

describe("schedules", () => {
  const values = (steps: number, options: Parameters<typeof schedule>[1]) =>
    Array.from({ length: steps }, (_, step) => schedule(steps, options)(step));

  test("constant after a warm-up", () => {
    expect(values(4, { name: "constant", warmup: 1 })).toEqual([0.5, 1, 1, 1]);
  });

  test("cosine: half-way half", () => {
    const [first, , middle, , last] = values(5, { name: "cosine", final: 0.2 });
    expect([first, last]).toEqual([1, expect.closeTo(0.2, 12)]);
    expect(middle).toBeCloseTo(0.6, 12);
  });

  test("warm-up, stable, decay", () => {
    const all = values(11, { name: "wsd", final: 0, decayPart: 0.5 });
    [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0].forEach((value, step) =>
      expect(all[step]).toBeCloseTo(value, 12),
    );
  });
});
