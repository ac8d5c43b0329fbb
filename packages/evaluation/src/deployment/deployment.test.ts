import type { ModelConfig } from "@transmla/models";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EvaluationError } from "../errors";
import { waysOf, type Sharing } from "./attention-load";
import { Deployment, type DeploymentOptions } from "./deployment";
import { modelWeights } from "./model-weights";
import { converted, publishedModel, withGroups } from "./published-models";
import type { Target } from "./targets";

const llama = publishedModel("llama-3-8b");
const rowBytes = (width: number) => 2 * width;
const tensorBytes = ({ shape }: { readonly shape: readonly number[] }) =>
  2 * shape.reduce((product, size) => product * size, 1);
const machine: Target = { name: "m", devices: 1, bandwidth: 1e12, flops: 1e14, memory: 80e9 };

const deploy = (config: ModelConfig, target: Target, options: Partial<DeploymentOptions> = {}) =>
  new Deployment({ config, tensorBytes }, target, { rowBytes, ...options });

describe("by hand: Llama-3-8B in 16 bits", () => {
  // Per layer: q and o 4096 x 4096, k and v 1024 x 4096, three of 14336 x 4096, two norms.
  const layer = 2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14336 * 4096;
  const table = 128256 * 4096;
  const norms = 65 * 4096;

  it("weights are all matrices and norms; a step reads all but the embedding table", () => {
    const weights = modelWeights({ config: llama, tensorBytes });
    expect(weights.bytes).toBe(2 * (32 * layer + 2 * table + norms));
    expect(weights.attentionBytes).toBe(2 * 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096));
    expect(weights.step(3)).toEqual({
      bytes: 2 * (32 * layer + table + norms),
      flops: 2 * 3 * (32 * layer + table),
    });
  });

  it("a token is 131,072 bytes of cache, and what is free decides batch and context", () => {
    const deployment = deploy(llama, machine);
    expect(deployment.cacheBytes(1)).toBe(32 * 2 * 2 * 1024);
    const free = 0.9 * 80e9 - deployment.weightBytes;
    expect(deployment.freeBytes).toBeCloseTo(free, 0);
    expect(deployment.longestContext).toBe(Math.floor(free / 131072));
    expect(deployment.largestBatch(1000)).toBe(Math.floor(free / 131072000));
  });

  it("a step reads weights and cache one after the other", () => {
    const { seconds, bound, tokensPerSecond } = deploy(llama, machine).decode(2, 1000);
    const read = 2 * (32 * layer + table + norms) + 2 * 131072000;
    expect(seconds).toBeCloseTo(read / 1e12, 9);
    expect(tokensPerSecond).toBeCloseTo(2 / seconds, 6);
    expect(bound).toBe("memory");
    const slow = deploy(llama, { ...machine, flops: 1e11 }).decode(2, 1000);
    const multiplyAdds = 32 * layer + table + 32 * 1000 * 2 * 4096;
    expect(slow.seconds).toBeCloseTo((2 * 2 * multiplyAdds) / 1e11, 9);
    expect(slow.bound).toBe("arithmetic");
  });

  it("a prompt computes every token, the head once, and half of the pairs", () => {
    const tokens = 1000;
    const pairs = 32 * 500 * 2 * 4096;
    const flops = 2 * (tokens * (32 * layer + pairs) + table);
    expect(deploy(llama, { ...machine, flops: 1e11 }).promptSeconds(tokens)).toBeCloseTo(
      flops / 1e11,
      6,
    );
  });

  it("eight devices have an eighth of weights and key/value heads each, latents whole", () => {
    const eight = { ...machine, devices: 8 };
    expect(deploy(llama, eight).weightBytes).toBe(deploy(llama, machine).weightBytes / 8);
    expect(deploy(llama, eight).cacheBytes(1)).toBe(131072 / 8);
    const latent = converted(llama);
    expect(deploy(latent, eight).cacheBytes(1)).toBe(32 * 2 * 576);
    expect(deploy(latent, eight, { sharing: "latent" }).cacheBytes(1)).toBe(32 * 2 * (64 + 64));
  });

  it("whole sequences on each device: attention weights are copied, sequences are not", () => {
    const eight = { ...machine, devices: 8 };
    const { bytes, attentionBytes } = modelWeights({ config: llama, tensorBytes });
    const deployment = deploy(llama, eight, { sharing: "sequences" });
    expect(deployment.weightBytes).toBe(attentionBytes + (bytes - attentionBytes) / 8);
    expect(deployment.largestBatch(1000) % 8).toBe(0);
    expect(deployment.attentionSeconds(8, 1000)).toBe(deployment.attentionSeconds(1, 1000));
  });
});

it("a step reads the experts that its tokens are expected to choose", () => {
  const config = publishedModel("deepseek-v2");
  const weights = modelWeights({ config, tensorBytes });
  // 59 layers of 160 experts of three 1536 x 5120.
  const expert = 2 * 3 * 1536 * 5120;
  const [one, two] = [weights.step(1), weights.step(2)];
  expect(two.bytes - one.bytes).toBeCloseTo(59 * expert * 6 * (1 - 6 / 160), -3);
  expect(two.flops).toBe(2 * one.flops);
  const table = 2 * 102400 * 5120;
  expect(weights.step(1e6).bytes).toBeCloseTo(weights.bytes - table, -3);
  // As its report says: 236 B parameters, of which 21 B are activated.
  expect(weights.bytes / 2e9).toBeCloseTo(236, 0);
  expect(one.flops / 2e9).toBeGreaterThan(19);
  expect(one.flops / 2e9).toBeLessThan(22);
});

it("windows bound the cache", () => {
  const layers = llama.layers.map((layer) => ({
    ...layer,
    attention: { ...layer.attention, window: 100 },
  }));
  const deployment = deploy({ ...llama, layers }, machine);
  expect(deployment.cacheBytes(1e9)).toBe(100 * 131072);
  expect(deployment.longestContext).toBe(Infinity);
  expect(deployment.decode(1, 1e9)).toEqual(deployment.decode(1, 100));
});

it("what does not fit has no context and no batch", () => {
  const deployment = deploy(llama, { ...machine, memory: 10e9 });
  expect(deployment.freeBytes).toBeLessThan(0);
  expect([deployment.longestContext, deployment.largestBatch(1)]).toEqual([0, 0]);
});

it.each([{ bandwidth: 0 }, { flops: NaN }, { memory: -1 }, { devices: Infinity }])(
  "refuses %j",
  (wrong) => {
    expect(() => deploy(llama, { ...machine, ...wrong })).toThrow(EvaluationError);
  },
);

describe("properties", () => {
  const small = { ...llama, layers: llama.layers.slice(0, 2) };
  const targets = fc.record({
    name: fc.constant("t"),
    devices: fc.integer({ min: 1, max: 16 }),
    bandwidth: fc.double({ min: 1e9, max: 1e13, noNaN: true }),
    flops: fc.double({ min: 1e10, max: 1e15, noNaN: true }),
    memory: fc.double({ min: 3e9, max: 2e11, noNaN: true }),
  });
  const models = fc
    .tuple(fc.integer({ min: 1, max: 32 }), fc.integer({ min: 1, max: 64 }), fc.boolean())
    .map(([kvHeads, rank, latent]) => {
      const grouped = withGroups(small, kvHeads, 128);
      return latent ? converted(grouped, 8 * rank, 64) : grouped;
    });
  const cases = fc.record({
    target: targets,
    config: models,
    sharing: fc.constantFrom<Sharing>("heads", "latent", "sequences"),
    way: fc.nat(2),
    batch: fc.integer({ min: 1, max: 300 }),
    context: fc.integer({ min: 1, max: 100_000 }),
  });
  const made = (
    { config, target, sharing, way }: typeof cases extends fc.Arbitrary<infer Case> ? Case : never,
    better: Partial<Target> = {},
    options: Partial<DeploymentOptions> = {},
  ) => {
    const ways = waysOf(config.layers[0]!.attention);
    const chosen = ways[way % ways.length];
    return deploy(config, { ...target, ...better }, { sharing, way: chosen, ...options });
  };

  it("more bandwidth or arithmetic is never slower, and no change of one alone gains more than itself", () => {
    fc.assert(
      fc.property(cases, fc.double({ min: 1, max: 100, noNaN: true }), (one, factor) => {
        const { seconds } = made(one).decode(one.batch, one.context);
        const prompt = made(one).promptSeconds(one.context);
        for (const part of ["bandwidth", "flops"] as const) {
          const better = made(one, { [part]: factor * one.target[part] });
          const faster = better.decode(one.batch, one.context).seconds;
          expect(faster).toBeLessThanOrEqual(seconds);
          expect(faster).toBeGreaterThanOrEqual((seconds / factor) * (1 - 1e-12));
          expect(better.promptSeconds(one.context)).toBeLessThanOrEqual(prompt);
        }
      }),
    );
  });

  it("more memory and a smaller cache never give a shorter context or a smaller batch", () => {
    fc.assert(
      fc.property(cases, fc.double({ min: 1, max: 10, noNaN: true }), (one, factor) => {
        const plain = made(one);
        const better = [
          made(one, { memory: factor * one.target.memory }),
          made(one, {}, { rowBytes: (width) => rowBytes(width) / factor }),
        ];
        for (const other of better) {
          expect(other.longestContext).toBeGreaterThanOrEqual(plain.longestContext);
          expect(other.largestBatch(one.context)).toBeGreaterThanOrEqual(
            plain.largestBatch(one.context),
          );
        }
      }),
    );
  });

  it("a longer context or a larger batch never makes a step shorter", () => {
    fc.assert(
      fc.property(cases, fc.integer({ min: 0, max: 1000 }), (one, more) => {
        const deployment = made(one);
        const { seconds } = deployment.decode(one.batch, one.context);
        const longer = deployment.decode(one.batch, one.context + more);
        const wider = deployment.decode(one.batch + more, one.context);
        expect(longer.seconds).toBeGreaterThanOrEqual(seconds);
        expect(wider.seconds).toBeGreaterThanOrEqual(seconds);
      }),
    );
  });

  it("what is said to fit fits, and one token more does not", () => {
    fc.assert(
      fc.property(cases, (one) => {
        const deployment = made(one);
        const { longestContext: most, freeBytes } = deployment;
        fc.pre(freeBytes > 0);
        expect(deployment.cacheBytes(most)).toBeLessThanOrEqual(freeBytes);
        expect(deployment.cacheBytes(most + 1)).toBeGreaterThan(freeBytes);
        expect(deployment.largestBatch(most)).toBeGreaterThanOrEqual(1);
      }),
    );
  });

  it("a smaller latent is never worse", () => {
    fc.assert(
      fc.property(targets, fc.integer({ min: 2, max: 64 }), (target, rank) => {
        const [wide, narrow] = [8 * rank, 8 * rank - 8].map((size) =>
          deploy(converted(small, size, 64), target),
        );
        expect(narrow!.longestContext).toBeGreaterThanOrEqual(wide!.longestContext);
        expect(narrow!.decode(4, 5000).seconds).toBeLessThanOrEqual(wide!.decode(4, 5000).seconds);
      }),
    );
  });
});
