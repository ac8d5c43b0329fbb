import { cpuDevice } from "@transmla/kernels";
import type { Model } from "@transmla/models";
import { beforeAll, describe, expect, it } from "vitest";
import { sampleModels, sampleTokens } from "../testing/sample-models";
import { draftModel } from "./draft-model";
import { Engine, type EngineOptions } from "./engine";
import { promptLookup } from "./prompt-lookup";

/** Greedy text does not depend on what else the engine does: issue 7, decision 0015. */

const TOKENS = 32;

let models: Readonly<Record<"gqa" | "mla", Model>>;
let prompts: readonly Int32Array[];

beforeAll(async () => {
  models = await sampleModels(await cpuDevice());
  const text = await sampleTokens("evaluation", 4000);
  // Sixteen prompts of 1 to 226 tokens; those of a pair begin alike.
  prompts = Array.from({ length: 16 }, (_, i) => {
    const start = 100 * (i >> 1);
    return text.slice(start, start + 1 + 15 * i);
  });
}, 120_000);

async function texts(
  model: Model,
  options: Partial<EngineOptions>,
  groups: readonly (readonly Int32Array[])[],
): Promise<number[][]> {
  const engine = new Engine(model, { cache: { capacity: 16_384 }, ...options });
  const all: number[][] = [];
  for (const group of groups) {
    const runs = group.map((promptTokens) =>
      engine.submit({ promptTokens, maxTokens: TOKENS, stopTokenIds: [] }),
    );
    all.push(
      ...(await Promise.all(
        runs.map(async (run) => {
          const tokens: number[] = [];
          for await (const { token } of run) tokens.push(token);
          return tokens;
        }),
      )),
    );
  }
  await engine.close();
  return all;
}

describe.each(["gqa", "mla"] as const)("the same text with %s", (kind) => {
  let alone: number[][];
  beforeAll(async () => {
    alone = [];
    for (const prompt of prompts) alone.push(...(await texts(models[kind], {}, [[prompt]])));
  }, 120_000);

  const together = () => [prompts];
  const pairs = (size: number) => () =>
    Array.from({ length: 16 / size }, (_, i) => prompts.slice(size * i, size * (i + 1)));
  it.each<[string, Partial<EngineOptions>, () => (readonly Int32Array[])[]]>([
    ["among 4", {}, pairs(4)],
    ["among 16", {}, together],
    ["from known prefixes", {}, pairs(1)],
    ["in pages of 8", { cache: { capacity: 16_384, pageTokens: 8 } }, together],
    ["in steps of 7 tokens", { stepTokens: 7 }, together],
    ["in steps of 200 tokens", { stepTokens: 200 }, together],
    ["with guesses from the text", { speculation: { drafter: promptLookup() } }, together],
  ])("%s", async (_, options, groups) => {
    const made = await texts(models[kind], options, groups());
    const same = made.map((tokens, i) => tokens.findIndex((t, j) => t !== alone[i]![j]));
    expect(same).toEqual(alone.map(() => -1));
  });

  it("with guesses of the other model", async () => {
    const other = models[kind === "gqa" ? "mla" : "gqa"];
    const cache = other.createCache({ capacity: 16_384 });
    const speculation = { drafter: draftModel(other, cache), tokens: 3 };
    expect(await texts(models[kind], { speculation }, [prompts])).toEqual(alone);
    cache.destroy();
  });
});
