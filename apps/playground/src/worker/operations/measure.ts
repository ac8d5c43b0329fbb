import { divergence, type Divergence } from "@transmla/evaluation";
import { progressOf, type Operation } from "../operation";
import { PlaygroundError } from "../failure";
import type { Workbench } from "../workbench";

/** Tokens of a window, where the models can see that far. */
const CONTEXT = 512;

/**
 * Runs a held-out text through both models: perplexities, divergence, agreement.
 *
 * @throws PlaygroundError `NoModel`, `DifferentTokenizers`; EvaluationError; the signal's reason
 */
export const measure: Operation<
  { readonly tokens: number; readonly text?: string | undefined },
  Divergence
> = async (bench, { tokens: maxTokens, text }, running) => {
  const { signal } = running;
  const a = await bench.loaded("original", signal, progressOf("Loading the original", running));
  const b = await bench.loaded("converted", signal, progressOf("Loading the converted", running));
  const tokens = commonTokens(bench, text ?? (await bench.text("evaluation")));
  const context = Math.min(CONTEXT, ...[a, b].map(({ files }) => files.config.maxPositions));
  const onProgress = progressOf("Measuring on a held-out text", running);
  return divergence(a.model, b.model, tokens, { context, maxTokens, onProgress, signal });
};

/** The tokens of a text, which both models must agree on. @throws PlaygroundError `DifferentTokenizers` */
export function commonTokens(bench: Workbench, text: string): Int32Array {
  const [a, b] = (["original", "converted"] as const).map((place) => bench.at(place));
  const tokens = a!.tokenizer.encode(text);
  const other = b!.tokenizer.encode(text);
  if (tokens.length === other.length && tokens.every((token, i) => token === other[i]))
    return tokens;
  throw new PlaygroundError(
    "DifferentTokenizers",
    `${a!.name} and ${b!.name} split the text into different tokens; open a model that was converted from this one.`,
  );
}
