import type { CacheSequence } from "@transmla/latent-cache";
import { logProbabilities } from "../log-probabilities";
import { Sampler } from "../sampling";
import type { DraftSession } from "./drafter";
import type { CheckedRequest } from "./check-engine-request";
import type { EngineToken, TokenConstraint } from "./request";

/** One continuation of a prompt: what it has made, and how it chooses. */
export class Choice {
  /** The prompt and what follows, `[prompt + limit]`. */
  private readonly ids: Int32Array;
  private count: number;
  private readonly sampler: Sampler;
  private readonly constraint: TokenConstraint | undefined;
  finishReason: "stop" | "length" | undefined;
  /** Seconds since the engine's clock began. */
  firstAt: number | undefined;
  lastAt: number | undefined;

  constructor(
    private readonly request: CheckedRequest,
    readonly index: number,
    /** Its tokens in the cache: all but the last one. */
    readonly sequence: CacheSequence,
    readonly drafts: DraftSession | undefined,
  ) {
    const { prompt, limit, sampling, seed, constraint } = request;
    this.ids = new Int32Array(prompt.length + limit);
    this.ids.set(prompt);
    this.count = prompt.length;
    this.sampler = new Sampler({ ...sampling, seed: (seed + index) % 2 ** 53 }, prompt);
    this.constraint = index === 0 ? constraint : constraint?.fork();
  }

  /** Tokens made. */
  get made(): number {
    return this.count - this.request.prompt.length;
  }

  /** Tokens that may still be made. */
  get left(): number {
    return this.request.limit - this.made;
  }

  /** The prompt and the tokens made. */
  get tokens(): Int32Array {
    return this.ids.subarray(0, this.count);
  }

  /** Takes the most probable token as the next one. */
  takeArgmax(token: number): EngineToken | undefined {
    return this.take(token, undefined);
  }

  /** Chooses the next token from `[vocab]` logits. Throws GenerationError `InvalidLogits`. */
  choose(logits: Float32Array): EngineToken | undefined {
    const { constraint } = this;
    let allowed = logits;
    if (constraint) {
      allowed = logits.slice();
      constraint.mask(allowed);
    }
    return this.take(this.sampler.choose(allowed), logits);
  }

  /** Undefined for a token that ends the text, which is no part of it. */
  private take(token: number, logits: Float32Array | undefined): EngineToken | undefined {
    const { stopTokens, logprobs } = this.request;
    if (stopTokens.has(token)) {
      this.finishReason = "stop";
      return undefined;
    }
    this.ids[this.count++] = token;
    this.constraint?.accept(token);
    if (this.constraint?.complete) this.finishReason = "stop";
    else if (this.left === 0) this.finishReason = "length";
    const made = { choice: this.index, token };
    if (logprobs === undefined || !logits) return made;
    return { ...made, ...logProbabilities(logits, token, logprobs) };
  }
}
