import { kvCacheNumbersPerToken, type AttentionConfig } from "./config/model-config";
import type { ModelFiles } from "./open-model";
import { modelTensors } from "./tensors";

/** A number, or one per layer where layers differ. */
export type PerLayer = number | readonly number[];

/** What a model is, known from its headers alone. */
export interface ModelDescription {
  readonly family: string;
  readonly attention: "gqa" | "mla";
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: PerLayer;
  readonly headDim: PerLayer;
  readonly parameters: number;
  /** The element type of most parameters: "bf16". */
  readonly dtype: string;
  readonly kvCacheNumbersPerToken: number;
  readonly ropeDim?: PerLayer;
  readonly kvLoraRank?: PerLayer;
  readonly vocabulary: number;
  readonly positions: number;
  /** Of all weights, as they are stored. */
  readonly bytes: number;
}

/** Describes an opened model; no weight is read. */
export function describeModel(files: ModelFiles): ModelDescription {
  const { config } = files;
  const attention = config.layers.map((layer) => layer.attention);
  const latent = attention.flatMap((layer) => (layer.kind === "mla" ? [layer] : []));
  return {
    family: config.family,
    attention: latent.length > 0 ? "mla" : "gqa",
    layers: config.layers.length,
    hidden: config.hiddenSize,
    heads: attention[0]?.heads ?? 0,
    kvHeads: perLayer(attention.map(kvHeadsOf)),
    headDim: perLayer(attention.map(headDimOf)),
    kvCacheNumbersPerToken: kvCacheNumbersPerToken(config),
    ...(latent.length > 0 && {
      ropeDim: perLayer(latent.map(({ ropeDim }) => ropeDim)),
      kvLoraRank: perLayer(latent.map(({ kvLoraRank }) => kvLoraRank)),
    }),
    ...storageOf(files),
    vocabulary: config.vocabSize,
    positions: config.maxPositions,
  };
}

/** Key/value heads of the original, which a latent restores as up-projections. */
const kvHeadsOf = (layer: AttentionConfig) =>
  layer.kind === "gqa" ? layer.kvHeads : layer.valueUpHeads;

const headDimOf = (layer: AttentionConfig) =>
  layer.kind === "gqa" ? layer.headDim : layer.valueDim;

function perLayer(values: readonly number[]): PerLayer {
  const [first = 0] = values;
  return values.every((value) => value === first) ? first : values;
}

function storageOf({ config, checkpoint }: ModelFiles) {
  const byType = new Map<string, number>();
  let total = 0;
  for (const { name, shape } of modelTensors(config)) {
    const { dtype, byteLength } = checkpoint.tensors.get(name)!;
    const numbers = shape.reduce((product, size) => product * size, 1);
    byType.set(dtype, (byType.get(dtype) ?? 0) + numbers);
    total += byteLength;
  }
  const [most] = [...byType].toSorted(([, a], [, b]) => b - a);
  const sum = [...byType.values()].reduce((a, b) => a + b, 0);
  return { parameters: sum, dtype: most?.[0].toLowerCase() ?? "none", bytes: total };
}
