import {
  deviceKit,
  type CacheStorage,
  type Device,
  type MachineLimits,
  type Tensor,
  type TimedDevice,
} from "@transmla/kernels";
import {
  cachePlanes,
  modelTensors,
  weightStorage,
  type AttentionConfig,
  type ModelConfig,
  type WeightPrecision,
} from "@transmla/models";
import type { Checkpoint } from "@transmla/tensor-io";

/** What one step must at least read and compute. */
export interface Work {
  readonly bytes: number;
  /** Floating-point operations, two per multiply-add. */
  readonly flops: number;
}

/** Sizes of the matrices that are multiplied to measure a device. */
export interface MeasureOptions {
  /** Numbers of the streamed matrix: by default 2^25 (128 MiB), beyond the last cache of the machines we know. */
  readonly streamed?: number | undefined;
  /** Rows of the large product (default 512). */
  readonly tokens?: number | undefined;
}

/** Devices that multiply the default matrices faster than this get larger ones: so short a time says little. In seconds. */
const TOO_SHORT = 2e-3;
/** A measurement is not repeated beyond this, in seconds. */
const PATIENCE = 4;
const COLUMNS = 4096;

/**
 * Measures a device's limits: the best of several runs, because other work on the machine only ever slows them. Takes
 * about a second and 140 MB of device memory (a fast GPU: 1.1 GB), which are released. A device with a clock of its own is
 * measured by that.
 */
export async function measureLimits(
  device: Device,
  { streamed = 2 ** 25, tokens = 512 }: MeasureOptions = {},
): Promise<MachineLimits> {
  let numbers = streamed;
  let streamSeconds = await bestSeconds(device, [1, numbers / COLUMNS, COLUMNS], 6);
  if (streamSeconds < TOO_SHORT) {
    numbers = 8 * streamed;
    streamSeconds = await bestSeconds(device, [1, numbers / COLUMNS, COLUMNS], 6);
  }
  let sizes: ProductSizes = [tokens, 1536, 576];
  let productSeconds = await bestSeconds(device, sizes, 8);
  if (productSeconds < TOO_SHORT) {
    sizes = [8 * tokens, 4096, 4096];
    productSeconds = await bestSeconds(device, sizes, 8);
  }
  return {
    bandwidth: (numbers * Float32Array.BYTES_PER_ELEMENT) / streamSeconds,
    gemm: (2 * sizes[0] * sizes[1] * sizes[2]) / productSeconds,
  };
}

type ProductSizes = readonly [tokens: number, rows: number, columns: number];

/** Shortest time of a product of `tokens` vectors with a matrix `[rows, columns]`. */
async function bestSeconds(
  device: Device,
  [tokens, rows, columns]: ProductSizes,
  runs: number,
): Promise<number> {
  const weight = device.weight([rows, columns], "f32");
  // Values matter: zeros or subnormals run at another speed on some processors.
  const values = (count: number) =>
    Float32Array.from({ length: count }, (_, i) => ((i * 37) % 101) / 101 - 0.5);
  const block = new Uint8Array(values(64 * columns).buffer);
  for (let row = 0; row < rows; row += 64) device.writeRows(weight, row, block);
  const x = device.tensor(values(tokens * columns), [tokens, columns]);
  let best = Infinity;
  const start = performance.now();
  try {
    for (let run = 0; run < runs; run++) {
      const seconds = await secondsOf(device, () => device.linear(x, weight));
      best = Math.min(best, seconds);
      // The first run may be that in which memory arrives or a kernel is compiled.
      if (run > 0 && performance.now() - start > 1000 * PATIENCE) break;
    }
  } finally {
    device.release(x);
    device.release(weight);
  }
  return best;
}

/** Seconds of one product: by the device's own clock where it has one, else until its last row is here. */
async function secondsOf(device: Device, multiply: () => Tensor): Promise<number> {
  if (isTimed(device)) {
    const seconds = await device.gpuSeconds(() => device.release(multiply()));
    if (seconds !== undefined) return seconds;
  }
  const start = performance.now();
  const y = multiply();
  // One row is enough to know that the product is there.
  const last = device.gatherRows(y, Int32Array.of(y.shape[0] - 1));
  await device.read(last);
  const seconds = (performance.now() - start) / 1000;
  device.release(y);
  device.release(last);
  return seconds;
}

function isTimed(device: Device): device is TimedDevice {
  return "gpuSeconds" in device;
}

/** The shortest time in which the work can be done: its slower part. In seconds. */
export function limitSeconds({ bytes, flops }: Work, { bandwidth, gemm }: MachineLimits): number {
  return Math.max(bytes / bandwidth, flops / gemm);
}

/**
 * Weights of one decoded token: every matrix is read once, except the embedding table (one row) and experts that are not
 * chosen. `checkpoint` says how numbers are stored; what no kernel multiplies as it is counts as float32.
 */
export function weightWork(
  config: ModelConfig,
  checkpoint: Checkpoint,
  precision: WeightPrecision = "stored",
): Work {
  let bytes = 0;
  let flops = 0;
  for (const { name, shape } of modelTensors(config)) {
    if (shape.length < 2 || (name === "model.embed_tokens.weight" && !config.tiedEmbeddings))
      continue;
    const [rows = 0, columns = 0] = shape;
    const part = usedPart(config, name);
    const storage = weightStorage(checkpoint.tensors.get(name)!.dtype, precision);
    bytes += part * rows * deviceKit.rowBytes(storage, columns);
    flops += part * 2 * rows * columns;
  }
  return { bytes, flops };
}

/** Part of a tensor that one token needs. */
function usedPart(config: ModelConfig, name: string): number {
  const layer = /^model\.layers\.(\d+)\..*\.experts\./.exec(name)?.[1];
  if (layer === undefined) return 1;
  const { feedForward } = config.layers[Number(layer)]!;
  return feedForward.kind === "experts" ? feedForward.topK / feedForward.experts : 1;
}

/**
 * Attention of one decoded token over a cache of `context` tokens, all layers: reading the cache, and per cached token and
 * layer `2 h d` multiply-adds for GQA, `h (2 kvLoraRank + ropeDim)` for absorbed MLA (DeepSeek-V2, arXiv 2405.04434).
 * Sliding windows shorten the context.
 */
export function attentionWork(
  config: ModelConfig,
  context: number,
  storage: CacheStorage = "f32",
): Work {
  let bytes = 0;
  let flops = 0;
  for (const { attention } of config.layers) {
    const seen = Math.min(context, attention.window ?? Infinity);
    for (const { width } of cachePlanes(attention)) {
      bytes += seen * deviceKit.rowBytes(storage, width);
    }
    flops += 2 * seen * multiplyAddsPerToken(attention);
  }
  return { bytes, flops };
}

function multiplyAddsPerToken(attention: AttentionConfig): number {
  if (attention.kind === "gqa") return 2 * attention.heads * attention.headDim;
  const { heads, kvLoraRank, ropeDim, nopeDim } = attention;
  // Without position-free keys the latents are only mixed, not scored.
  const scored = ropeDim + (nopeDim > 0 ? kvLoraRank : 0);
  return heads * (scored + kvLoraRank);
}

/** Work of one step of a prefill: `tokens` prompt tokens behind `cached` ones, logits for the last. */
export function prefillWork(
  config: ModelConfig,
  weights: Work,
  { cached, tokens, storage }: { cached: number; tokens: number; storage?: CacheStorage },
): { readonly weights: Work; readonly attention: Work } {
  const head = 2 * config.vocabSize * config.hiddenSize;
  // The cache is read once for all tokens; each sees half of the others on average.
  const { bytes } = attentionWork(config, cached + tokens, storage);
  const { flops } = attentionWork(config, cached + (tokens + 1) / 2);
  return {
    weights: { bytes: weights.bytes, flops: tokens * (weights.flops - head) + head },
    attention: { bytes, flops: tokens * flops },
  };
}
