import type { ChosenToken, TextToken } from "@transmla/generation";
import type { JsonObject } from "./fields";

/** What all answers to one request have in common. */
export interface Envelope {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** A choice of a whole answer. */
export interface Choice {
  readonly text: string;
  readonly tokens: readonly ChosenToken[];
  readonly finishReason: string;
}

/** How one of the two routes writes its answers: the rest is the same for both. */
export interface Protocol {
  readonly idPrefix: string;
  readonly objects: { readonly whole: string; readonly chunk: string };
  /** `tokens` undefined: no log-probabilities are wanted. */
  choice(index: number, choice: Choice, withLogprobs: boolean): JsonObject;
  /** The chunk before the first text of a choice; undefined for none. */
  firstChunk(index: number): JsonObject | undefined;
  chunk(index: number, text: string, logprobs: ChunkLogprobs | undefined): JsonObject;
  lastChunk(index: number, finishReason: string): JsonObject;
}

/** Tokens of a chunk and where its text begins within the choice. */
export interface ChunkLogprobs {
  readonly tokens: readonly ChosenToken[];
  readonly offset: number;
}

/** `/v1/chat/completions` */
export const chatProtocol: Protocol = {
  idPrefix: "chatcmpl-",
  objects: { whole: "chat.completion", chunk: "chat.completion.chunk" },
  choice: (index, { text, tokens, finishReason }, withLogprobs) => ({
    index,
    message: { role: "assistant", content: text, refusal: null },
    logprobs: withLogprobs ? chatLogprobs(tokens) : null,
    finish_reason: finishReason,
  }),
  firstChunk: (index) => ({
    index,
    delta: { role: "assistant", content: "" },
    logprobs: null,
    finish_reason: null,
  }),
  chunk: (index, text, logprobs) => ({
    index,
    delta: { content: text },
    logprobs: logprobs ? chatLogprobs(logprobs.tokens) : null,
    finish_reason: null,
  }),
  lastChunk: (index, finishReason) => ({
    index,
    delta: {},
    logprobs: null,
    finish_reason: finishReason,
  }),
};

function chatLogprobs(tokens: readonly ChosenToken[]): JsonObject {
  const describe = ({ text, logprob, bytes }: TextToken) => ({ token: text, logprob, bytes });
  return {
    content: tokens.map((token) => ({
      ...describe(token),
      top_logprobs: token.top.map(describe),
    })),
    refusal: null,
  };
}

/** `/v1/completions` */
export const completionProtocol: Protocol = {
  idPrefix: "cmpl-",
  objects: { whole: "text_completion", chunk: "text_completion" },
  choice: (index, { text, tokens, finishReason }, withLogprobs) => ({
    index,
    text,
    logprobs: withLogprobs ? completionLogprobs({ tokens, offset: 0 }) : null,
    finish_reason: finishReason,
  }),
  firstChunk: () => undefined,
  chunk: (index, text, logprobs) => ({
    index,
    text,
    logprobs: logprobs ? completionLogprobs(logprobs) : null,
    finish_reason: null,
  }),
  lastChunk: (index, finishReason) => ({
    index,
    text: "",
    logprobs: null,
    finish_reason: finishReason,
  }),
};

function completionLogprobs({ tokens, offset }: ChunkLogprobs): JsonObject {
  let at = offset;
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) =>
      Object.fromEntries(top.map(({ text, logprob }) => [text, logprob])),
    ),
    text_offset: tokens.map(({ text }) => {
      const start = at;
      at += text.length;
      return start;
    }),
  };
}

/** Token counts of a request. */
export class Usage {
  private prompt = 0;
  private cached = 0;
  private completion = 0;

  addPrompt(tokens: number): void {
    this.prompt += tokens;
  }

  /** `cachedTokens` of the first choice count: the others share its prompt. */
  addChoice(tokens: number, cachedTokens: number): void {
    this.completion += tokens;
    this.cached += cachedTokens;
  }

  toJSON(): JsonObject {
    return {
      prompt_tokens: this.prompt,
      completion_tokens: this.completion,
      total_tokens: this.prompt + this.completion,
      prompt_tokens_details: { cached_tokens: this.cached },
    };
  }
}
