import { describeModel, type ModelConfig, type ModelDescription } from "@transmla/models";
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

const perLayerText = (value: number | readonly number[]) =>
  typeof value === "number" ? String(value) : `${Math.min(...value)} to ${Math.max(...value)}`;
