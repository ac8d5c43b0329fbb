import type { ModelConfig } from "@transmla/models";
import { GenerationError } from "./errors";

/**
 * The prompt, or the model's token for the beginning where it is empty.
 *
 * @throws GenerationError `EmptyPrompt`, `PromptTooLong`, `InvalidPrompt`
 */
export function checkPrompt(tokens: Int32Array, config: ModelConfig): Int32Array {
  const { vocabSize, maxPositions, bosTokenId } = config;
  if (tokens.length === 0) {
    if (bosTokenId !== undefined) return Int32Array.of(bosTokenId);
    throw new GenerationError(
      "EmptyPrompt",
      "The prompt is empty and the model has no token to begin with. Give it at least one token.",
    );
  }
  if (tokens.length > maxPositions) {
    throw new GenerationError(
      "PromptTooLong",
      `The prompt has ${tokens.length} tokens, the model has ${maxPositions} positions. Shorten the prompt.`,
      { promptTokens: tokens.length, maxPositions },
    );
  }
  const bad = tokens.findIndex((token) => token < 0 || token >= vocabSize);
  if (bad < 0) return tokens;
  throw new GenerationError(
    "InvalidPrompt",
    `Prompt token ${bad} is ${tokens[bad]}, the model's vocabulary has ${vocabSize} tokens. Use the model's own tokenizer.`,
    { index: bad, token: tokens[bad], vocabSize },
  );
}

/** A whole number from `least` on. Throws GenerationError `InvalidOption`. */
export function checkCount(option: string, value: number, least = 1): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new GenerationError(
    "InvalidOption",
    `${option} must be a whole number from ${least} on, got ${value}.`,
    { option, value },
  );
}
