import type { Model } from "@transmla/models";
import {
  generate,
  type GenerateOptions,
  type Generation,
  type GenerationSummary,
} from "./generate";
import type { SamplingOptions } from "./sampling-options";
import { checkStops, StopMatcher } from "./stop-matcher";
import { StreamDecoder } from "./tokenizer/stream-decoder";
import type { Tokenizer } from "./tokenizer/tokenizer";

export interface StreamTextOptions
  extends SamplingOptions, Omit<GenerateOptions, "promptTokens" | "sampling"> {
  /** Text, in which special tokens are plain text, or token ids. */
  readonly prompt: string | Int32Array;
  /** Strings that end the text; they are not part of it. */
  readonly stop?: readonly string[] | undefined;
}

/** One token and the text that became certain with it. */
export interface TextPiece {
  /** Whole characters; empty while a character is unfinished or may belong to a stop string. */
  readonly text: string;
  /** Undefined for text that was held back and is given out at the end. */
  readonly tokenId: number | undefined;
}

/**
 * Continues a prompt as text, piece by piece:
 *
 *     const stream = streamText(model, tokenizer, { prompt: "Once upon a time", maxTokens: 100 });
 *     for await (const { text } of stream) process.stdout.write(text);
 *     stream.summary.finishReason;
 *
 * Special tokens are not part of the text. Throws what `generate` throws, and GenerationError `UnknownToken`.
 */
export function streamText(
  model: Model,
  tokenizer: Tokenizer,
  options: StreamTextOptions,
): TextStream {
  return new TextStream(model, tokenizer, options);
}

/** All of the text at once. Throws what `streamText` throws. */
export async function generateText(
  model: Model,
  tokenizer: Tokenizer,
  options: StreamTextOptions,
): Promise<GenerationSummary & { readonly text: string; readonly tokenIds: readonly number[] }> {
  const stream = streamText(model, tokenizer, options);
  const pieces: TextPiece[] = [];
  for await (const piece of stream) pieces.push(piece);
  return {
    ...stream.summary,
    text: pieces.map(({ text }) => text).join(""),
    tokenIds: pieces.flatMap(({ tokenId }) => tokenId ?? []),
  };
}

/** Made by `streamText`. Each iteration generates anew. */
export class TextStream implements AsyncIterable<TextPiece> {
  private readonly prompt: Int32Array;
  private readonly stops: readonly string[];
  private readonly generation: Generation;
  private stopped = false;

  constructor(
    model: Model,
    private readonly tokenizer: Tokenizer,
    options: StreamTextOptions,
  ) {
    const { prompt, stop = [] } = options;
    this.stops = checkStops(stop);
    this.prompt = typeof prompt === "string" ? tokenizer.encode(prompt) : prompt;
    this.generation = generate(model, { ...options, promptTokens: this.prompt, sampling: options });
  }

  /** Finish reason (`stop` also for a stop string), token counts, times and cache bytes, up to now while it runs. */
  get summary(): GenerationSummary {
    const { summary } = this.generation;
    return this.stopped ? { ...summary, finishReason: "stop" } : summary;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TextPiece, void, undefined> {
    this.stopped = false;
    const matcher = new StopMatcher(this.stops);
    const context = this.prompt;
    const decoder = new StreamDecoder(this.tokenizer, { skipSpecialTokens: true, context });
    for await (const tokenId of this.generation) {
      const { text, found } = matcher.push(decoder.push(tokenId));
      this.stopped = found;
      yield { text, tokenId };
      if (found) return;
    }
    const { text, found } = matcher.push(decoder.flush());
    this.stopped = found;
    const rest = found ? text : text + matcher.flush();
    if (rest !== "") yield { text: rest, tokenId: undefined };
  }
}
