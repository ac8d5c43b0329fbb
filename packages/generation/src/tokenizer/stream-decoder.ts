import type { DecodeOptions, Tokenizer } from "./tokenizer";

export interface StreamDecoderOptions extends DecodeOptions {
  /** Tokens before the first one, so that a word that continues a prompt keeps its leading space. */
  readonly context?: ArrayLike<number> | undefined;
}

/**
 * Turns tokens, one at a time, into text that never stops within a character: tokens that are only part of one are held
 * until it is whole. The pieces laid end to end are the text of all tokens together.
 */
export class StreamDecoder {
  private readonly skipSpecialTokens: boolean;
  /** Tokens already given out. A decoder treats the first token of a text differently, so there is always one before. */
  private context: readonly number[];
  private pending: number[] = [];

  constructor(
    private readonly tokenizer: Tokenizer,
    options: StreamDecoderOptions = {},
  ) {
    this.skipSpecialTokens = options.skipSpecialTokens ?? false;
    this.context = Array.from(options.context ?? [])
      .filter((id) => !this.isSkipped(id))
      .slice(-contextTokens);
  }

  /** The text that this token completes; empty while a character is unfinished. */
  push(id: number): string {
    if (this.isSkipped(id)) return "";
    this.pending.push(id);
    return this.tokenizer.endsWithinCharacter(this.pending) ? "" : this.flush();
  }

  /** What is left at the end: empty, or U+FFFD for a character that was never finished. */
  flush(): string {
    if (this.pending.length === 0) return "";
    const before = this.tokenizer.decode(this.context);
    const after = this.tokenizer.decode([...this.context, ...this.pending]);
    this.context = this.pending;
    this.pending = [];
    return after.slice(before.length);
  }

  private isSkipped(id: number): boolean {
    if (this.tokenizer.idToToken(id) === undefined) return true;
    return this.skipSpecialTokens && this.tokenizer.isSpecial(id);
  }
}

/** Enough tokens for the last whole character, which may be four byte tokens. */
const contextTokens = 4;
