/**
 * Guesses what follows, so that a step can check several tokens at once. A guess never changes the text: every token is chosen
 * from the model's own logits by the request's own sampler, and guesses count only as far as they agree with those choices.
 */
export interface Drafter {
  /** For one sequence. */
  open(): DraftSession;
}

/** The guesses for one sequence. */
export interface DraftSession {
  /** Up to `count` tokens that may follow `tokens`, the sequence so far; none where it has no idea. */
  propose(tokens: Int32Array, count: number): Promise<Int32Array>;
  close(): void;
}
