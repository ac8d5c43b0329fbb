import { StopMatcher } from "../stop-matcher";
import { StreamDecoder } from "../tokenizer/stream-decoder";
import type { Tokenizer } from "../tokenizer/tokenizer";
import type { ChosenToken } from "./text-request";

/** Text that became certain, and the tokens behind it. */
export interface CertainText {
  readonly text: string;
  readonly tokens: readonly ChosenToken[];
}

/** One choice on its way from tokens to text. Tokens are told together with the text that they begin. */
export class ChoiceText {
  private readonly decoder: StreamDecoder;
  private readonly matcher: StopMatcher;
  /** Tokens not yet told, with the place in the text where each begins. */
  private waiting: { readonly start: number; readonly token: ChosenToken }[] = [];
  private decoded = 0;
  private certain = 0;
  /** Tokens taken. */
  tokens = 0;
  /** A stop string was found: nothing more is taken. */
  stopped = false;

  constructor(tokenizer: Tokenizer, prompt: Int32Array, stops: readonly string[]) {
    this.decoder = new StreamDecoder(tokenizer, { skipSpecialTokens: true, context: prompt });
    this.matcher = new StopMatcher(stops);
  }

  /** Takes a token, with its probability where that is wanted. */
  push(id: number, token: ChosenToken | undefined): CertainText {
    this.tokens++;
    if (token) this.waiting.push({ start: this.decoded, token });
    return this.take(this.decoder.push(id), false);
  }

  /** What was held back, when no more tokens come. */
  end(): CertainText {
    return this.take(this.decoder.flush(), true);
  }

  private take(piece: string, isLast: boolean): CertainText {
    this.decoded += piece.length;
    const { text, found } = this.matcher.push(piece);
    this.stopped = found;
    const certain = isLast && !found ? text + this.matcher.flush() : text;
    this.certain += certain.length;
    const told = this.waiting.findLastIndex(({ start }) => start < this.certain) + 1;
    const count = isLast && !found ? this.waiting.length : told;
    return {
      text: certain,
      tokens: this.waiting.splice(0, count).map(({ token }) => token),
    };
  }
}
