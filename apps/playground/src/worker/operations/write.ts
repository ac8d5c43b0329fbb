import { streamText, type ChatMessage, type TextStream } from "@transmla/generation";
import { progressOf, type Operation, type Progress } from "../operation";
import type { BenchModel, Place } from "../workbench";

/** A text to continue, by every model that is there. */
export interface WritingChoice {
  /** Plain text, or for each model the conversation that it has had so far. */
  readonly prompt: string | Readonly<Partial<Record<Place, readonly ChatMessage[]>>>;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
}

/** A token of one model's continuation. */
export interface WrittenPiece {
  readonly place: Place;
  /** Whole characters that became certain with the token. */
  readonly text: string;
  readonly tokenId: number | undefined;
  /** Tokens per second of decoding so far, the other model's time not counted; 0 before the second token. */
  readonly tokensPerSecond: number;
  /** Bytes of cache that the text takes now. */
  readonly cacheBytes: number;
}

/** What one model wrote. */
export interface Writing {
  readonly place: Place;
  readonly promptTokens: readonly number[];
  readonly tokens: readonly number[];
  readonly text: string;
  readonly finishReason: "stop" | "length";
}

/**
 * Continues a text with the models in turn, a token each.
 *
 * @throws PlaygroundError `NoModel`; GenerationError for prompts that cannot be used; the signal's reason
 */
export const writeText: Operation<
  WritingChoice,
  readonly Writing[],
  Progress | WrittenPiece
> = async (bench, choice, running) => {
  const { signal, emit } = running;
  if (bench.filled.length === 0) bench.at("original");
  const writers: Writer[] = [];
  for (const place of bench.filled) {
    const loaded = await bench.loaded(place, signal, progressOf("Loading the model", running));
    const promptTokens = promptOf(loaded, place, choice.prompt);
    const { maxTokens, temperature, seed } = choice;
    const options = { prompt: promptTokens, maxTokens, temperature, seed, signal };
    const stream = streamText(loaded.model, loaded.tokenizer, options);
    writers.push(new Writer(place, promptTokens, stream));
  }
  while (writers.some(({ ended }) => !ended)) {
    for (const writer of writers) await writer.step(emit);
  }
  return writers.map((writer) => writer.result);
};

function promptOf(
  { tokenizer, template }: BenchModel,
  place: Place,
  prompt: WritingChoice["prompt"],
): Int32Array {
  if (typeof prompt === "string") return tokenizer.encode(prompt);
  const rendered = template!.render(prompt[place] ?? []);
  return tokenizer.encode(rendered, { addSpecialTokens: false, parseSpecialTokens: true });
}

/** One model's stream, a token at a time. */
class Writer {
  ended = false;
  private readonly pieces: AsyncIterator<{ text: string; tokenId: number | undefined }>;
  private readonly tokens: number[] = [];
  private text = "";

  constructor(
    private readonly place: Place,
    private readonly promptTokens: Int32Array,
    private readonly stream: TextStream,
  ) {
    this.pieces = stream[Symbol.asyncIterator]();
  }

  async step(emit: (piece: WrittenPiece) => void): Promise<void> {
    if (this.ended) return;
    const { done, value } = await this.pieces.next();
    if (done) {
      this.ended = true;
      return;
    }
    const { text, tokenId } = value;
    if (tokenId !== undefined) this.tokens.push(tokenId);
    this.text += text;
    const { tokens, decodeSeconds, kvCacheBytes } = this.stream.summary;
    const tokensPerSecond = decodeSeconds > 0 ? (tokens - 1) / decodeSeconds : 0;
    emit({ place: this.place, text, tokenId, tokensPerSecond, cacheBytes: kvCacheBytes });
  }

  get result(): Writing {
    const { place, tokens, text } = this;
    const finishReason = this.stream.summary.finishReason ?? "length";
    return { place, promptTokens: [...this.promptTokens], tokens, text, finishReason };
  }
}
