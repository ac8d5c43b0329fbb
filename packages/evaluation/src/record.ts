import type { Model } from "@transmla/models";
import { statesOf } from "./logit-source";
import { forEachChunk, planWindows, type EvaluationOptions } from "./windows";

/**
 * A model's final states on a text, over the windows that `perplexity` uses. They are exact and far fewer than its logits: 576 numbers
 * per token instead of 49,152 for SmolLM2-135M. With them `divergence` needs only the output head of that model.
 *
 * @returns `[tokens of all windows, hidden]`
 * @throws what `perplexity` throws
 */
export async function recordStates(
  model: Model,
  tokens: Int32Array,
  options: EvaluationOptions = {},
): Promise<Float32Array> {
  const windows = planWindows([model], tokens, options);
  const { hiddenSize } = model.config;
  const total = windows.reduce((sum, window) => sum + window.length, 0);
  const states = new Float32Array(total * hiddenSize);
  let position = 0;
  await forEachChunk([statesOf(model)], windows, options, ({ values: [rows] }) => {
    states.set(rows!, position);
    position += rows!.length;
  });
  return states;
}
