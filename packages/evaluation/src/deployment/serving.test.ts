import { expect, it } from "vitest";
import { Deployment } from "./deployment";
import { publishedModel } from "./published-models";
import { servingSeconds } from "./serving";
import type { Target } from "./targets";

const machine: Target = { name: "m", devices: 1, bandwidth: 1e12, flops: 1e14, memory: 80e9 };
const model = {
  config: publishedModel("llama-3-8b"),
  tensorBytes: ({ shape }: { readonly shape: readonly number[] }) =>
    2 * shape.reduce((product, size) => product * size, 1),
};
const withMemory = (memory: number) =>
  new Deployment(model, { ...machine, memory }, { rowBytes: (width) => 2 * width });

it("requests that fit together take their prompts and one batch", () => {
  const deployment = withMemory(80e9);
  const seconds = servingSeconds(deployment, { requests: 4, prompt: 64, answer: 64 });
  let expected = 4 * deployment.promptSeconds(64);
  for (let at = 64; at < 128; at += 16) expected += 16 * deployment.decode(4, at).seconds;
  expect(seconds).toBeCloseTo(expected, 9);
});

/** Memory for so many cached tokens of 131,072 bytes beside the weights. */
const roomFor = (tokens: number) =>
  withMemory((withMemory(80e9).weightBytes + tokens * 131072) / 0.9);

it("where one fits they go one after the other, and what never fits never ends", () => {
  const narrow = roomFor(130);
  const alone = servingSeconds(narrow, { requests: 1, prompt: 64, answer: 64 });
  const three = servingSeconds(narrow, { requests: 3, prompt: 64, answer: 64 });
  expect(three).toBeCloseTo(3 * alone, 9);
  expect(servingSeconds(narrow, { requests: 1, prompt: 200, answer: 64 })).toBe(Infinity);
});

it("more room is never slower than going one after the other, nor faster than all at once", () => {
  const asked = { requests: 8, prompt: 64, answer: 64 };
  const [serial, some, all] = [130, 520, 2000].map((room) => servingSeconds(roomFor(room), asked));
  expect(some).toBeLessThan(serial!);
  expect(all).toBeLessThan(some!);
});
