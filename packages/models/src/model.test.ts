import { fileURLToPath } from "node:url";
import { referenceDevice } from "@transmla/kernels";
import { folder } from "@transmla/tensor-io";
import { beforeAll, describe, expect, it } from "vitest";
import { ModelsError } from "./errors";
import { loadModel } from "./load";
import type { Model } from "./model";
import { openModel } from "./open-model";

const golden = fileURLToPath(new URL("../golden/mistral-window", import.meta.url));
const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % 96);

let model: Model;
beforeAll(async () => {
  const files = await openModel(folder(golden));
  model = await loadModel(files, referenceDevice());
  await files.close();
});

/** Logits of the last token when the tokens arrive in pieces of the given sizes. */
async function lastLogits(all: Int32Array, pieces: readonly number[]): Promise<Float32Array> {
  const cache = model.createCache({ capacity: all.length, pageTokens: 8 });
  const sequence = cache.open();
  let logits = new Float32Array();
  let at = 0;
  for (const size of pieces) {
    const tensor = model.forward(cache, [{ sequence, tokens: all.subarray(at, at + size) }]);
    logits = new Float32Array(await model.device.read(tensor));
    model.device.release(tensor);
    at += size;
  }
  cache.destroy();
  return logits;
}

function expectClose(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, 4);
}

describe("Model.forward", () => {
  it("gives the same logits for a prompt at once, in pieces and token by token", async () => {
    const whole = await lastLogits(tokens, [40]);
    expectClose(await lastLogits(tokens, [7, 25, 8]), whole);
    expectClose(
      await lastLogits(
        tokens,
        Array.from({ length: 40 }, () => 1),
      ),
      whole,
    );
  });

  it("keeps the sequences of a batch apart", async () => {
    const cache = model.createCache({ capacity: 96, pageTokens: 8 });
    const [a, b] = [cache.open(), cache.open()];
    const prompts = [tokens.subarray(0, 11), tokens.subarray(3, 33)];
    model.device.release(
      model.forward(cache, [
        { sequence: a, tokens: prompts[0].subarray(0, 10) },
        { sequence: b, tokens: prompts[1].subarray(0, 29) },
      ]),
    );
    const logits = model.forward(cache, [
      { sequence: b, tokens: prompts[1].subarray(29) },
      { sequence: a, tokens: prompts[0].subarray(10) },
    ]);
    const values = await model.device.read(logits);
    expectClose(values.subarray(0, 96), await lastLogits(prompts[1], [30]));
    expectClose(values.subarray(96), await lastLogits(prompts[0], [11]));
    cache.destroy();
  });

  it.each([
    ["InvalidTokens", []],
    ["InvalidTokens", [3, 96]],
    ["InvalidTokens", [-1]],
    ["ContextExceeded", Array.from({ length: 257 }, () => 1)],
  ])("refuses %s and leaves the sequence as it was", (code, ids) => {
    const cache = model.createCache({ capacity: 512 });
    const sequence = cache.open();
    model.device.release(model.forward(cache, [{ sequence, tokens: tokens.subarray(0, 2) }]));
    const attempt = () => model.forward(cache, [{ sequence, tokens: Int32Array.from(ids) }]);
    expect(attempt).toThrow(ModelsError);
    expect(attempt).toThrow(expect.objectContaining({ code }) as Error);
    expect(sequence.length).toBe(2);
    cache.destroy();
  });

  it("can run inside a device scope, again and again", async () => {
    const { device } = model;
    const cache = model.createCache({ capacity: 8 });
    const sequence = cache.open();
    const best: number[] = [];
    for (const id of tokens.subarray(0, 4)) {
      const next = device.scope(() =>
        device.argmax(model.forward(cache, [{ sequence, tokens: Int32Array.of(id) }])),
      );
      best.push((await device.read(next))[0]);
    }
    const logits = await lastLogits(tokens, [4]);
    expect(best.at(-1)).toBe(logits.indexOf(Math.max(...logits)));
    cache.destroy();
  });

  it("gives back what earlier steps took when the cache is full", () => {
    const cache = model.createCache({ capacity: 16, pageTokens: 8 });
    const [a, b] = [cache.open(), cache.open()];
    const steps = [
      { sequence: a, tokens: tokens.subarray(0, 8) },
      { sequence: b, tokens: tokens.subarray(0, 9) },
    ];
    expect(() => model.forward(cache, steps)).toThrow(
      expect.objectContaining({ code: "CacheFull" }) as Error,
    );
    expect([a.length, b.length, cache.freeTokens]).toEqual([0, 0, 16]);
  });
});
