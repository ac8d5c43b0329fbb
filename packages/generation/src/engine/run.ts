import type { CacheSequence, PagedCache } from "@transmla/latent-cache";
import type { CheckedRequest } from "./check-engine-request";
import { Choice } from "./choice";
import type { Drafter } from "./drafter";
import type { ChoiceSummary, EngineRun, EngineToken } from "./request";
import { mostPages, type SlidingWindow } from "./sliding-window";
import { TokenQueue } from "./token-queue";

/** Seconds of a clock that only moves forward. */
export const now = (): number => performance.now() / 1000;

/** A request on its way: in the queue, in its prompt, or with choices that continue it. */
export class Run implements EngineRun {
  private readonly queue = new TokenQueue<EngineToken>();
  private readonly submitted = now();
  private started: number | undefined;
  private cached = 0;
  /** The prompt's tokens in the cache, until choices take them over. */
  private sequence: CacheSequence | undefined;
  /** Prompt tokens that are computed or were found. */
  private done = 0;
  private made: Choice[] = [];
  /** Why it ends before its time. */
  private cancelled: { readonly reason: unknown } | undefined;
  private readonly onAbort = () => this.cancel(this.request.signal!.reason);

  constructor(
    readonly request: CheckedRequest,
    /** Called when the reader or the signal ends it. */
    private readonly onCancel: () => void,
  ) {
    request.signal?.addEventListener("abort", this.onAbort);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EngineToken, void, undefined> {
    try {
      yield* this.queue.read();
    } finally {
      this.cancel(undefined);
    }
  }

  get summaries(): readonly ChoiceSummary[] {
    return Array.from({ length: this.request.n }, (_, index) => this.summary(this.made[index]));
  }

  get isCancelled(): boolean {
    return this.cancelled !== undefined;
  }

  /** Choices that are not finished. */
  get choices(): readonly Choice[] {
    return this.made.filter(({ finishReason }) => finishReason === undefined);
  }

  /** Prompt tokens that are not computed yet, while there are any. */
  get promptLeft(): { readonly sequence: CacheSequence; readonly tokens: Int32Array } | undefined {
    const { sequence } = this;
    return sequence && { sequence, tokens: this.request.prompt.subarray(this.done) };
  }

  /** So many prompt tokens more are computed. */
  advance(tokens: number): void {
    this.done += tokens;
  }

  /** Whether nothing is left to be computed. */
  get isDone(): boolean {
    return this.started !== undefined && !this.sequence && this.choices.length === 0;
  }

  /** Leaves the queue, with as much of the prompt as the cache holds. */
  start(sequence: CacheSequence): void {
    this.sequence = sequence;
    this.cached = sequence.length;
    this.done = sequence.length;
    this.started = now();
  }

  /** Back into the queue: there is no room yet. */
  wait(): void {
    this.sequence?.release();
    this.sequence = undefined;
    this.started = undefined;
  }

  /** A prompt that fills the whole context leaves no room for a token. */
  finishEmpty(): void {
    this.started = now();
    this.queue.end();
    this.request.signal?.removeEventListener("abort", this.onAbort);
  }

  /** The prompt is in the cache: every choice goes on from it. */
  fork(drafter: Drafter | undefined): readonly Choice[] {
    const sequence = this.sequence!;
    this.sequence = undefined;
    this.made = Array.from({ length: this.request.n }, (_, index) => {
      const own = index === 0 ? sequence : sequence.fork();
      return new Choice(this.request, index, own, drafter?.open());
    });
    return this.made;
  }

  /** Hands a token on, or the end of its choice. */
  deliver(choice: Choice, token: EngineToken | undefined): void {
    choice.firstAt ??= now();
    choice.lastAt = now();
    if (token) this.queue.push(token);
    if (choice.finishReason === undefined) return;
    choice.sequence.release();
    choice.drafts?.close();
    if (this.isDone) this.end();
  }

  /** Ends it with an error for its reader; `undefined` where nobody reads any more. */
  cancel(reason: unknown): void {
    if (this.cancelled || this.isDone) return;
    this.cancelled = { reason };
    this.queue.fail(reason);
    this.onCancel();
  }

  /** Gives back what it holds. */
  release(): void {
    this.sequence?.release();
    this.sequence = undefined;
    for (const choice of this.choices) {
      choice.sequence.release();
      choice.drafts?.close();
    }
    this.end();
  }

  /** Pages that it may still take, beside those it holds. @param window that old tokens leave, if it slides */
  pagesToCome({ pageTokens }: PagedCache, window: SlidingWindow | undefined): number {
    const { prompt, n } = this.request;
    const most = mostPages(this.request, pageTokens, window);
    const toCome = (sequence: CacheSequence) => {
      // What slides is written to, so that nothing stays shared.
      if (window) return most - sequence.ownPages;
      return most - sequence.pages.length + (sequence.sharesLastPage ? 1 : 0);
    };
    if (this.sequence) {
      const shared = window ? 0 : Math.floor(prompt.length / pageTokens);
      return toCome(this.sequence) + (n - 1) * (most - shared);
    }
    return this.choices.reduce((sum, { sequence }) => sum + toCome(sequence), 0);
  }

  private end(): void {
    this.queue.end();
    this.request.signal?.removeEventListener("abort", this.onAbort);
  }

  private summary(choice: Choice | undefined): ChoiceSummary {
    const { submitted, started } = this;
    const firstAt = choice?.firstAt;
    const empty = this.request.limit === 0 && started !== undefined;
    return {
      finishReason: empty ? "length" : choice?.finishReason,
      promptTokens: this.request.prompt.length,
      cachedTokens: this.cached,
      tokens: choice?.made ?? 0,
      timings: {
        queued: (started ?? now()) - submitted,
        prefill: started === undefined ? 0 : (firstAt ?? now()) - started,
        decode: firstAt === undefined ? 0 : choice!.lastAt! - firstAt,
      },
    };
  }
}
