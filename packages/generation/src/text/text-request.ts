import type { ChoiceTimings } from "../engine/request";
import type { SamplingOptions } from "../sampling-options";
import type { ChatMessage } from "../template/chat-template";

/** A text to continue. Plain data, so that it can be sent to another thread. */
export interface TextRequest extends SamplingOptions {
  readonly prompt: Prompt;
  /** Tokens to make per choice at most (default: what is left of the model's context). */
  readonly maxTokens?: number | undefined;
  /** Continuations of the one prompt, each with a random stream of its own (default 1). */
  readonly n?: number | undefined;
  /** Strings that end a choice; they are not part of it. */
  readonly stop?: readonly string[] | undefined;
  /** Log-probabilities of the tokens and of so many likeliest alternatives (default: none). */
  readonly logprobs?: number | undefined;
  /** Default: any text. */
  readonly format?: TextFormat | undefined;
}

/**
 * Text, in which special tokens are plain text; token ids; or a conversation for the model's chat template, whose special tokens
 * count while their spelling inside of messages is plain text.
 */
export type Prompt = string | ArrayLike<number> | Conversation;

export interface Conversation {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly unknown[] | undefined;
}

/** What the text must be: any JSON object, or what a JSON schema describes (the part of it that `schemaGrammar` knows). */
export type TextFormat =
  | { readonly type: "json" }
  | { readonly type: "schema"; readonly schema: unknown };

/** A token with its text and probability. */
export interface TextToken {
  readonly id: number;
  readonly text: string;
  /** The bytes it adds to the text: a token may be part of a character. Empty for special tokens. */
  readonly bytes: readonly number[];
  readonly logprob: number;
}

/** A token that was chosen, with the likeliest ones at its place. */
export interface ChosenToken extends TextToken {
  readonly top: readonly TextToken[];
}

/** What happens to a request. Plain data. */
export type TextEvent =
  | {
      readonly type: "text";
      readonly choice: number;
      /** Whole characters, certain not to belong to a stop string; may be empty where only tokens are told. */
      readonly text: string;
      /** The tokens behind the text, where `logprobs` asks for them. */
      readonly tokens: readonly ChosenToken[];
    }
  | ({ readonly type: "end"; readonly choice: number } & TextEnd);

/** How a choice ended. */
export interface TextEnd {
  /** `stop`: by itself, by a stop string or because the format is complete; `length`: `maxTokens` or the end of the context. */
  readonly finishReason: "stop" | "length";
  /** Tokens made. */
  readonly tokens: number;
  /** Prompt tokens that were found in the cache. */
  readonly cachedTokens: number;
  readonly timings: ChoiceTimings;
}
