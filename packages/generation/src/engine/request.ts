import type { SamplingOptions } from "../sampling-options";

/** One prompt to continue, once or several times. */
export interface EngineRequest {
  /** `[tokens]`. Empty: the model's token for the beginning. */
  readonly promptTokens: Int32Array;
  /** Tokens to make per choice at most; the end of the model's context may come first. */
  readonly maxTokens: number;
  /** Default: greedy. Each choice has a random stream of its own: that of `seed + choice`. */
  readonly sampling?: SamplingOptions | undefined;
  /** Tokens that end a choice; they are not part of it (default: those of the model's config). */
  readonly stopTokenIds?: readonly number[] | undefined;
  /** Aborting frees the request's place at the next step and throws the signal's reason to the reader. */
  readonly signal?: AbortSignal | undefined;
  /** Log-probabilities of the chosen tokens and of so many most probable ones; 0: of the chosen ones alone. Default: none. */
  readonly logprobs?: number | undefined;
  /** What may come next; forked for every choice but the first. */
  readonly constraint?: TokenConstraint | undefined;
  /** Continuations of the one prompt, which is computed once (default 1). */
  readonly n?: number | undefined;
}

/** A rule of what may come next, such as a grammar: the state of one sequence. */
export interface TokenConstraint {
  /** Sets logits of tokens that may not come next to minus infinity, in place. `[vocab]` */
  mask(logits: Float32Array): void;
  /** The token that was chosen. */
  accept(token: number): void;
  /** Nothing may follow: the sequence ends. */
  readonly complete: boolean;
  /** An independent copy of the state. */
  fork(): TokenConstraint;
}

/** One token of one choice. */
export interface EngineToken {
  /** `0 … n - 1` */
  readonly choice: number;
  readonly token: number;
  /** Natural logarithm of the token's probability under the model, before any sampling option. */
  readonly logprob?: number | undefined;
  /** The most probable tokens in descending order. */
  readonly top?: readonly { readonly token: number; readonly logprob: number }[] | undefined;
}

/** What happened to one choice, up to now while it runs. */
export interface ChoiceSummary {
  /** `stop`: a stop token, or the constraint is complete; `length`: `maxTokens` or the end of the context. */
  readonly finishReason: "stop" | "length" | undefined;
  readonly promptTokens: number;
  /** Prompt tokens found in the cache, which were not computed again. */
  readonly cachedTokens: number;
  /** Tokens made. */
  readonly tokens: number;
  readonly timings: ChoiceTimings;
}

/** In seconds. */
export interface ChoiceTimings {
  /** From the submission to the start of the first step. */
  readonly queued: number;
  /** From there to the first token. */
  readonly prefill: number;
  /** From the first token to the last. */
  readonly decode: number;
}

/** How busy an engine is. */
export interface EngineLoad {
  /** Requests that have begun. */
  readonly running: number;
  /** Requests in the queue. */
  readonly waiting: number;
  /** Cache tokens in use or promised to running requests. */
  readonly reservedTokens: number;
  readonly capacityTokens: number;
  /** Tokens of finished requests that are kept until their place is needed. */
  readonly cachedTokens: number;
}

/** A submitted request: iterate for its tokens, in the order in which they are made. */
export interface EngineRun extends AsyncIterable<EngineToken> {
  /** One per choice. */
  readonly summaries: readonly ChoiceSummary[];
}
