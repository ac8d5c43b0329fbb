import {
  kvCacheNumbersPerToken,
  modelTensors,
  type AttentionConfig,
  type ModelConfig,
  type ModelFiles,
} from "@transmla/models";
import { defineCommand } from "../command";
import { withModel } from "../model-location";
import { bytes, count, parameters } from "../terminal/format";
import { properties } from "../terminal/table";
import type { Terminal } from "../terminal/terminal";

export const inspectCommand = defineCommand({
  name: "inspect",
  summary: "say what a model is, from its headers alone",
  arguments: [{ name: "model", description: "folder, .gguf file, hub id or sample" }],
  flags: {},
  examples: [
    ["transmla inspect sample", "the model that comes with this program"],
    ["transmla inspect ./SmolLM2-135M --json", "a folder of yours, as JSON"],
  ],
  action: (context, [name = ""]) =>
    withModel(context, name, async ({ files }) => {
      const description = describeModel(files);
      printDescription(context.terminal, name, description, files.config);
      return { ...description };
    }),
});

/** A number, or one per layer where layers differ. */
type PerLayer = number | readonly number[];

interface ModelDescription {
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

function describeModel(files: ModelFiles): ModelDescription {
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

function printDescription(
  terminal: Terminal,
  name: string,
  model: ModelDescription,
  config: ModelConfig,
): void {
  const { bold, dim } = terminal.colour;
  const cache = model.kvCacheNumbersPerToken;
  terminal.print(
    bold(name),
    ...properties(
      [
        ["family", model.family],
        ["attention", attentionText(model)],
        ["layers", `${count(model.layers)}, ${count(model.hidden)} wide`],
        ["vocabulary", `${count(model.vocabulary)} tokens`],
        ["context", `${count(model.positions)} tokens`],
        ["parameters", `${parameters(model.parameters)}, ${model.dtype}, ${bytes(model.bytes)}`],
        ["KV cache", `${count(cache)} numbers per token (all layers)`],
        ["", `${bytes(4 * cache * config.maxPositions)} in float32 for a full context`],
      ],
      dim,
    ),
  );
}

function attentionText({ attention, heads, ...model }: ModelDescription): string {
  const kvHeads = perLayerText(model.kvHeads);
  const headDim = perLayerText(model.headDim);
  if (attention === "gqa") {
    return `grouped-query (GQA): ${heads} query heads on ${kvHeads} key/value heads of ${headDim}`;
  }
  const latent = perLayerText(model.kvLoraRank ?? 0);
  const rope = perLayerText(model.ropeDim ?? 0);
  return `latent (MLA): ${heads} query heads on a latent of ${latent} and a rotated key of ${rope}`;
}

const perLayerText = (value: PerLayer) =>
  typeof value === "number" ? String(value) : `${Math.min(...value)} to ${Math.max(...value)}`;
