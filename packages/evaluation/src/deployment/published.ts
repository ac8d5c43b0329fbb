import type { ModelConfig } from "@transmla/models";
import { Deployment, type DeploymentOptions } from "./deployment";
import { converted, publishedModel, withGroups } from "./published-models";
import { servingSeconds } from "./serving";
import { targetNamed, type Target } from "./targets";

/** A ratio that someone published, and what the plan says of the same case. */
export interface PublishedRatio {
  readonly what: string;
  /** `counted`: follows from sizes. `measured`: of memory that a program had, or of time. */
  readonly kind: "counted" | "measured memory" | "measured speed";
  readonly source: string;
  readonly published: number;
  /** The same ratio planned; two numbers where the source leaves open what it depends on: then nothing is compared. */
  readonly planned: () => number | readonly [number, number];
  /** Whether plan and publication agree within `TOLERANCE`. */
  readonly reproduced: boolean;
  /** Conditions of the measurement, what was taken where the source is silent, and why a ratio is missed. */
  readonly note: string;
}

export const TOLERANCE = 0.25;

const OWN_NOTE =
  "The gain is larger than planned: in that run grouped attention came to 48 % of its limit at 8,192 tokens, absorbed attention to 85 % and 67 %.";

/** Numbers of `bits` bits. */
const bits = (count: number) => ({ rowBytes: (width: number) => (width * count) / 8 });

function deployment(
  config: ModelConfig,
  target: Target,
  options: DeploymentOptions,
  bytesPerWeight = 2,
): Deployment {
  const tensorBytes = ({ shape }: { readonly shape: readonly number[] }) =>
    bytesPerWeight * shape.reduce((product, size) => product * size, 1);
  return new Deployment({ config, tensorBytes }, target, options);
}

/** Bytes per token of the cache on one device, of two cases. */
function cacheRatio(
  [before, options]: readonly [ModelConfig, Partial<DeploymentOptions>],
  [after, otherOptions]: readonly [ModelConfig, Partial<DeploymentOptions>],
  devices = 1,
): number {
  const target = { ...targetNamed("h100"), devices };
  const bytes = (config: ModelConfig, more: Partial<DeploymentOptions>) =>
    deployment(config, target, { ...bits(16), ...more }).cacheBytes(1);
  return bytes(before, options) / bytes(after, otherOptions);
}

function transmlaSpeedup(device: string): number {
  const llama = publishedModel("llama-2-7b");
  const seconds = (config: ModelConfig) =>
    servingSeconds(deployment(config, targetNamed(device), bits(16)), {
      requests: 100,
      prompt: 4096,
      answer: 4096,
    });
  return seconds(llama) / seconds(converted(llama));
}

/** Attention of one step on two devices, with the latent whole on both and cut. */
function tplaSpeedup(model: Parameters<typeof publishedModel>[0]): number {
  const seconds = (sharing: "heads" | "latent") =>
    deployment(publishedModel(model), targetNamed("h100x2"), {
      ...bits(16),
      sharing,
    }).attentionSeconds(8, 32768);
  return seconds("heads") / seconds("latent");
}

/** New tokens per second with as many sequences as fit. */
const fullSpeed = (model: Deployment, context: number) =>
  model.decode(model.largestBatch(context), context).tokensPerSecond;

function deepseekV2Speedup(context: number): number {
  const target = targetNamed("h100x8");
  const dense = deployment(publishedModel("deepseek-67b"), target, bits(16));
  const options = { ...bits(6), sharing: "sequences" } as const;
  const latent = deployment(publishedModel("deepseek-v2"), target, options, 1);
  return fullSpeed(latent, context) / fullSpeed(dense, context);
}

/** DeepSeek-V3 as an engine without latent attention runs it: 192 numbers of key and 128 of value per head. */
const multiHeadV3 = () => withGroups(publishedModel("deepseek-v3"), 128, (192 + 128) / 2);

function vllmSpeedup(context: number): number {
  const target = targetNamed("h200x8");
  const speed = (config: ModelConfig) =>
    fullSpeed(deployment(config, target, bits(16), 1), context);
  return speed(publishedModel("deepseek-v3")) / speed(multiHeadV3());
}

/** This project's CPU device, two threads, float32 cache, at the limits that were measured in the same run. */
function ownSpeedup(kvLoraRank: number, ropeDim: number): number {
  const machine = { name: "two cores", devices: 1, bandwidth: 29.6e9, flops: 75.8e9, memory: 4e9 };
  const original = publishedModel("smollm2-135m");
  const speed = (config: ModelConfig) =>
    deployment(config, machine, bits(32)).decode(1, 8000).tokensPerSecond;
  return speed(converted(original, kvLoraRank, ropeDim)) / speed(original);
}

/** Published ratios, those that a roofline misses included. */
export const publishedRatios: readonly PublishedRatio[] = [
  {
    what: "Llama-2-7B at 7.03 % of the cache, throughput at 8K context, 24 GB and 165.2 TFLOPS",
    kind: "measured speed",
    source: "TransMLA, arXiv 2502.07864, abstract and section 5.4",
    published: 10.6,
    planned: () => transmlaSpeedup("rtx4090"),
    reproduced: true,
    note: "vLLM, prompt and answer of equal length, 100 requests (script `run_throughput_test.sh` of the reference repository), a queue simulated at the roofline. The card is not named; its figures are those of an RTX 4090. Almost all of the gain is the batch that fits: the original's cache leaves room for three sequences. With a batch that never runs empty the plan would say 13.8: a hundred requests do not keep the converted model's batch full to the end.",
  },
  {
    what: "the same on 40 GB and 312 TFLOPS",
    kind: "measured speed",
    source: "TransMLA, arXiv 2502.07864, table 4 (218.51 and 1118.18 tokens/s)",
    published: 1118.18 / 218.51,
    planned: () => transmlaSpeedup("a100-40gb"),
    reproduced: false,
    note: "Taken as an A100. Planned are 299 and 3,385 new tokens per second: the original was measured at 73 % of that, the converted model, of which all hundred sequences fit at once, at 33 %. With so large a batch the engine's kernels and scheduling decide, which a roofline does not know.",
  },
  {
    what: "SmolLM2-135M at 25 % of the cache, decoding at 8,000 tokens on two cores",
    kind: "measured speed",
    source: "this repository, bench/results of 24 November 2026 (15.0 and 25.0 tokens/s)",
    published: 25.0 / 15.0,
    planned: () => ownSpeedup(64, 32),
    reproduced: false,
    note: OWN_NOTE,
  },
  {
    what: "the same at 12.5 %",
    kind: "measured speed",
    source: "the same (15.0 and 35.0 tokens/s)",
    published: 35.0 / 15.0,
    planned: () => ownSpeedup(32, 16),
    reproduced: false,
    note: OWN_NOTE,
  },
  {
    what: "DeepSeek-V3, latent cut over 2 devices instead of copied, 32K context",
    kind: "measured speed",
    source: "TPLA, arXiv 2508.15881, abstract",
    published: 1.79,
    planned: () => tplaSpeedup("deepseek-v3"),
    reproduced: true,
    note: "Attention alone, which reads 320 instead of 576 numbers per token and device; the abstract gives neither batch nor device, on which this ratio does not depend while reading is the limit.",
  },
  {
    what: "Kimi-K2, the same",
    kind: "measured speed",
    source: "TPLA, arXiv 2508.15881, abstract",
    published: 1.93,
    planned: () => tplaSpeedup("kimi-k2"),
    reproduced: true,
    note: "More than the bytes explain: 1.80 is the most that less reading can give.",
  },
  {
    what: "DeepSeek-R1 on 8 H200, tokens that fit with latent instead of multi-head attention",
    kind: "measured memory",
    source:
      "Neural Magic / Red Hat, “Enhancing DeepSeek Models with MLA and FP8 Optimizations in vLLM”, 2025 (54,560 and 512,000 tokens), https://neuralmagic.com/?p=7824",
    published: 512000 / 54560,
    planned: () => cacheRatio([multiHeadV3(), {}], [publishedModel("deepseek-v3"), {}], 8),
    reproduced: true,
    note: "Tensor parallelism: each device has 16 heads of 192 + 128 numbers, or all of the 576 of the latent. What the engine needs besides was not the same in both runs.",
  },
  {
    what: "latents on 8 devices, each with its own sequences instead of a copy, tokens that fit",
    kind: "measured memory",
    source: "vllm-project/recipes issue 762 (156.9 and 20.43 sequences of 1M tokens)",
    published: 156.9 / 20.43,
    planned: () => {
      const model = publishedModel("deepseek-v3");
      return 8 * cacheRatio([model, {}], [model, { sharing: "sequences" }], 8);
    },
    reproduced: true,
    note: "8 B200, DeepSeek-V4-Flash, whose sparse attention is not planned here; what is compared is that a copy on every device is a copy. The attention's weights, which every device then holds whole, are not counted.",
  },
  {
    what: "PaLM 540B on 64 chips, context that fits with multi-query attention, whole sequences per chip, instead of multi-head",
    kind: "counted",
    source: "Pope et al., arXiv 2211.05102, abstract",
    published: 32,
    planned: () => {
      const query = publishedModel("palm-540b");
      return (
        64 * cacheRatio([withGroups(query, 48, 128), {}], [query, { sharing: "sequences" }], 64)
      );
    },
    reproduced: true,
    note: "48 heads of 128 (half of the original's 256), of which a chip has one and 16 chips none; or one key/value head of 256 with every sequence on one chip.",
  },
  {
    what: "DeepSeek-V2 against DeepSeek 67B, cache per token",
    kind: "counted",
    source: "DeepSeek-V2, arXiv 2405.04434, abstract (93.3 % less) and section 3.2.3",
    published: 1 / (1 - 0.933),
    planned: () =>
      cacheRatio([publishedModel("deepseek-67b"), {}], [publishedModel("deepseek-v2"), bits(6)]),
    reproduced: true,
    note: "In numbers the cache shrinks by 82.2 % only (194,560 to 34,560); the rest is that V2 keeps 6 bits per number, and the 67B model 16.",
  },
  {
    what: "Llama-3-8B with 512 + 64 against its grouped cache",
    kind: "counted",
    source: "GQLA, arXiv 2605.15250, abstract (28.125 %)",
    published: 1 / 0.28125,
    planned: () => {
      const llama = publishedModel("llama-3-8b");
      return cacheRatio([llama, {}], [converted(llama), {}]);
    },
    reproduced: true,
    note: "",
  },
  {
    what: "Qwen2.5-72B against DeepSeek-V3, cache per token",
    kind: "counted",
    source:
      "Zhao et al., “Insights into DeepSeek-V3”, arXiv 2505.09343, table 1 (327.680 and 70.272 KB)",
    published: 4.66,
    planned: () =>
      cacheRatio([publishedModel("qwen2.5-72b"), {}], [publishedModel("deepseek-v3"), {}]),
    reproduced: true,
    note: "",
  },
  {
    what: "Llama-3.1-405B against DeepSeek-V3, cache per token",
    kind: "counted",
    source: "the same (516.096 KB)",
    published: 7.28,
    planned: () =>
      cacheRatio([publishedModel("llama-3.1-405b"), {}], [publishedModel("deepseek-v3"), {}]),
    reproduced: true,
    note: "",
  },
  {
    what: "DeepSeek-V2 against DeepSeek 67B, most tokens per second on 8 H800",
    kind: "measured speed",
    source: "DeepSeek-V2, arXiv 2405.04434, abstract and section 3.2.3",
    published: 5.76,
    planned: () => [deepseekV2Speedup(1024), deepseekV2Speedup(16384)],
    reproduced: false,
    note: "Two models, two precisions (8-bit weights and a 6-bit cache against 16), and lengths “of the deployed service” that are not given. Planned for 1K and for 16K tokens, H800 taken as H100, whole sequences per device.",
  },
  {
    what: "DeepSeek-R1 on 8 H200, throughput with latent instead of multi-head attention",
    kind: "measured speed",
    source: "Neural Magic / Red Hat, as above (3.4 times)",
    published: 3.4,
    planned: () => [vllmSpeedup(2048), vllmSpeedup(16384)],
    reproduced: false,
    note: "Planned with as many sequences as fit, of 2K and of 16K tokens. The source gives neither lengths nor the number of requests; with fewer of them than fit the gain is smaller.",
  },
];

/** `(planned - published) / published`; undefined where nothing is compared. */
export function relativeError({ planned, published }: PublishedRatio): number | undefined {
  const value = planned();
  return typeof value === "number" ? value / published - 1 : undefined;
}
