import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel, type Model } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { beforeAll, expect, it } from "vitest";
import { measureSpeed } from "./speed";

let model: Model;
beforeAll(async () => {
  const files = await openModel(folder(modelFolderPath()));
  model = await loadModel(files, await cpuDevice());
  await files.close();
});

it("measures every context once, in ascending order", async () => {
  const done: number[] = [];
  const rows = await measureSpeed(model, {
    contexts: [40, 8, 40],
    decodeTokens: 3,
    chunk: 16,
    onProgress: (progress) => done.push(progress.done),
  });
  expect(rows.map(({ context }) => context)).toEqual([8, 40]);
  // Decoded tokens are forgotten: the second context is filled from the first.
  expect(done).toEqual([8, 24, 40]);
  for (const { prefill, decode, decodeSeconds } of rows) {
    expect(prefill).toBeGreaterThan(0);
    expect(decode * decodeSeconds).toBeCloseTo(1, 12);
  }
});

it.each([[[]], [[0]], [[1.5]], [[1010]]])("refuses contexts %j", async (contexts) => {
  await expect(measureSpeed(model, { contexts })).rejects.toThrow(/from 1 to 1008/);
});

it("stops when asked", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(measureSpeed(model, { contexts: [8], signal })).rejects.toThrow("enough");
});
