import type { ModelConfig } from "@transmla/models";
import { checkCount, checkPrompt } from "../check-request";
import { Sampler } from "../sampling";
import type { SamplingOptions } from "../sampling-options";
import type { EngineRequest, TokenConstraint } from "./request";

/** A request whose parts are in range. */
export interface CheckedRequest {
  readonly prompt: Int32Array;
  /** Tokens per choice at most: `maxTokens`, or what the context leaves. */
  readonly limit: number;
  readonly n: number;
  readonly sampling: SamplingOptions;
  readonly seed: number;
  readonly stopTokens: ReadonlySet<number>;
  readonly logprobs: number | undefined;
  readonly constraint: TokenConstraint | undefined;
  /** Whether the most probable token is what it would choose, so that the device can. */
  readonly isArgmax: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * @param slides whether old tokens give way to new ones, so that the context has no end
 * @throws GenerationError `InvalidOption`, `EmptyPrompt`, `PromptTooLong`, `InvalidPrompt`
 */
export function checkEngineRequest(
  request: EngineRequest,
  config: ModelConfig,
  slides: boolean,
): CheckedRequest {
  const { sampling = {}, n = 1, logprobs, constraint, signal } = request;
  const maxPositions = slides ? Infinity : config.maxPositions;
  const prompt = checkPrompt(request.promptTokens, { ...config, maxPositions }).slice();
  const maxTokens = checkCount("maxTokens", request.maxTokens);
  const { isArgmax } = new Sampler(sampling);
  if (logprobs !== undefined) checkCount("logprobs", logprobs, 0);
  return {
    prompt,
    limit: Math.min(maxTokens, maxPositions - prompt.length),
    n: checkCount("n", n),
    sampling,
    seed: sampling.seed ?? Math.floor(Math.random() * 2 ** 53),
    stopTokens: new Set(request.stopTokenIds ?? config.eosTokenIds),
    logprobs,
    constraint,
    isArgmax: isArgmax && !constraint && logprobs === undefined,
    signal,
  };
}
