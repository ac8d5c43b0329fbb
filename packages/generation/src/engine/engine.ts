import {
  LatentCacheError,
  readSnapshot,
  saveSequence,
  type PagedCache,
  type PagedCacheOptions,
} from "@transmla/latent-cache";
import type { Model } from "@transmla/models";
import { checkCount } from "../check-request";
import { GenerationError } from "../errors";
import { EventLoop } from "../event-loop";
import { checkEngineRequest, type CheckedRequest } from "./check-engine-request";
import type { Choice } from "./choice";
import type { Drafter } from "./drafter";
import type { EngineLoad, EngineRequest, EngineRun } from "./request";
import { Run } from "./run";
import {
  mostPages,
  makeRoom,
  slidingWindow,
  type SlidingWindow,
  type WindowOptions,
} from "./sliding-window";
import { planStep, runStep, type Part, type StepLimits, type StepLogits } from "./step";

export interface EngineOptions {
  /** The cache of all requests: `bytes` or `capacity`, and `storage` and `pageTokens` where the defaults do not fit. */
  readonly cache: Omit<PagedCacheOptions, "layers">;
  /** Tokens of a step (default 64): long prompts are computed in pieces beside the tokens of others. */
  readonly stepTokens?: number | undefined;
  /** Choices that run at the same time at most (default 64). */
  readonly maxRunning?: number | undefined;
  /** Requests that wait at most (default 256). */
  readonly maxWaiting?: number | undefined;
  /** Lets texts outgrow the model's context: old tokens give way (default: they end with it). */
  readonly window?: WindowOptions | undefined;
  /** Speculative decoding: who guesses, and how many tokens per step (default 4). */
  readonly speculation?: { readonly drafter: Drafter; readonly tokens?: number } | undefined;
}

/**
 * Continues many prompts at once: sequences join and leave between steps, share what their prompts have in common, and are
 * admitted only when their cache is sure to suffice. What a request gets does not depend on the others. It knows tokens, no
 * text.
 *
 *     const engine = new Engine(model, { cache: { bytes: 256e6 } });
 *     const run = engine.submit({ promptTokens, maxTokens: 100 });
 *     for await (const { token } of run) …
 *     run.summaries[0].finishReason;
 *
 * Throws GenerationError `InvalidOption`, LatentCacheError `InvalidArgument`, and the device's `OutOfMemory`.
 */
export class Engine {
  readonly cache: PagedCache;
  private readonly limits: StepLimits;
  private readonly maxRunning: number;
  private readonly maxWaiting: number;
  private readonly drafter: Drafter | undefined;
  private readonly window: SlidingWindow | undefined;
  private waiting: Run[] = [];
  private running: Run[] = [];
  /** Whether somebody may have come or gone since the head of the queue was last looked at. */
  private mayAdmit = true;
  private loop: Promise<void> | undefined;
  private closing = false;

  constructor(
    private readonly model: Model,
    { cache, stepTokens = 64, maxRunning = 64, maxWaiting = 256, ...options }: EngineOptions,
  ) {
    this.maxRunning = checkCount("maxRunning", maxRunning);
    this.maxWaiting = checkCount("maxWaiting", maxWaiting);
    const { speculation, window } = options;
    this.drafter = speculation?.drafter;
    this.limits = {
      stepTokens: checkCount("stepTokens", stepTokens),
      draftTokens: speculation ? checkCount("speculation.tokens", speculation.tokens ?? 4) : 0,
      roomOf: (sequence) =>
        this.window ? makeRoom(model, this.cache, sequence, this.window) : Infinity,
    };
    this.cache = model.createCache(cache);
    try {
      this.window = window && slidingWindow(window, this.cache, model);
    } catch (error) {
      this.cache.destroy();
      throw error;
    }
  }

  /**
   * Takes a request into the queue. Iterate the result for its tokens; leaving the loop, or the request's signal, ends it.
   *
   * @throws GenerationError `InvalidOption`, `EmptyPrompt`, `PromptTooLong`, `InvalidPrompt`, `CacheTooSmall`, `Overloaded`,
   *   `EngineClosed`; the signal's reason if it is aborted already
   */
  submit(request: EngineRequest): EngineRun {
    if (this.closing) {
      throw new GenerationError(
        "EngineClosed",
        "The engine is closing and takes no more requests.",
      );
    }
    const checked = checkEngineRequest(request, this.model.config, this.window !== undefined);
    this.checkFits(checked);
    checked.signal?.throwIfAborted();
    const run = new Run(checked, () => (this.mayAdmit = true));
    if (checked.limit === 0) {
      run.finishEmpty();
      return run;
    }
    if (this.waiting.length >= this.maxWaiting) {
      throw new GenerationError(
        "Overloaded",
        `${this.waiting.length} requests are waiting already. Try again later.`,
        { waiting: this.waiting.length, maxWaiting: this.maxWaiting },
      );
    }
    this.waiting.push(run);
    this.mayAdmit = true;
    this.loop ??= this.work();
    return run;
  }

  /**
   * What the cache holds of the beginning of some tokens, such as a conversation so far, as bytes for a file or a database (see
   * `saveSequence`): another engine with the same model, in Node or a browser, goes on from there.
   *
   * @throws LatentCacheError `InvalidArgument` if it holds nothing of them
   */
  async save(tokens: Int32Array): Promise<Uint8Array> {
    const sequence = this.cache.open(tokens);
    try {
      return await saveSequence(this.cache, sequence, await this.model.fingerprint());
    } finally {
      sequence.release();
    }
  }

  /**
   * Takes in what `save` gave and returns its tokens: prompts that begin with them are not computed again while their pages are
   * kept.
   *
   * @throws LatentCacheError `InvalidSnapshot`, `SnapshotMismatch`, `CacheFull`
   */
  async restore(snapshot: Uint8Array): Promise<Int32Array> {
    const { tokens, open } = await readSnapshot(
      this.cache,
      snapshot,
      await this.model.fingerprint(),
    );
    const { pageTokens, capacity } = this.cache;
    const pages = Math.ceil(tokens.length / pageTokens) + this.pagesInUse + this.pagesToCome;
    if (pages * pageTokens > capacity) {
      throw new LatentCacheError(
        "CacheFull",
        `The snapshot's ${tokens.length} tokens do not fit beside what running requests may need.`,
        { tokens: tokens.length, reserved: this.load.reservedTokens, capacity },
      );
    }
    open().release();
    return tokens;
  }

  /** How busy it is. */
  get load(): EngineLoad {
    const { cache, running, waiting } = this;
    return {
      running: running.length,
      waiting: waiting.length,
      reservedTokens: (this.pagesInUse + this.pagesToCome) * cache.pageTokens,
      capacityTokens: cache.capacity,
      cachedTokens: cache.keptTokens,
    };
  }

  /** Takes no more requests and resolves when those it has are done. */
  async drain(): Promise<void> {
    this.closing = true;
    await this.loop;
  }

  /** Ends all requests with `EngineClosed` and frees the cache. */
  async close(): Promise<void> {
    const error = new GenerationError("EngineClosed", "The engine was closed.");
    for (const run of [...this.running, ...this.waiting]) run.cancel(error);
    await this.drain();
    this.cache.destroy();
  }

  private async work(): Promise<void> {
    const eventLoop = new EventLoop();
    // The caller of `submit` first gets its run.
    await eventLoop.giveWay(0);
    while (this.running.length + this.waiting.length > 0) {
      this.dropCancelled();
      this.admit();
      if (this.running.length > 0) await this.step();
      await eventLoop.giveWay(0);
    }
    this.loop = undefined;
  }

  private async step(): Promise<void> {
    try {
      const parts = await planStep(this.running, this.limits);
      const logits = await runStep(this.model, this.cache, parts, parts.every(chosenByDevice));
      let row = 0;
      for (const part of parts) {
        this.advance(part, logits, row);
        row += part.outputs;
      }
    } catch (error) {
      for (const run of this.running) run.cancel(error);
    }
    const before = this.running.length;
    this.running = this.running.filter(({ isDone }) => !isDone);
    if (this.running.length < before) this.mayAdmit = true;
  }

  /** Takes what a part of a step gave; its outputs begin at row `first`. */
  private advance(part: Part, logits: StepLogits, first: number): void {
    const { run, choice, sequence, tokens } = part;
    if (run.isCancelled) return;
    try {
      if (!choice) {
        run.advance(tokens.length);
        if (run.promptLeft!.tokens.length > 0) return;
        for (const forked of run.fork(this.drafter)) this.choose(run, forked, logits, first);
        return;
      }
      const length = sequence.length - tokens.length;
      for (let made = 0; made < tokens.length; made++) {
        const token = this.choose(run, choice, logits, first + made);
        if (choice.finishReason !== undefined) return;
        if (token !== tokens[made + 1]) return sequence.truncate(length + made + 1);
      }
    } catch (error) {
      run.cancel(error);
    }
  }

  /** The next token of a choice, from a row of logits; undefined if it ended. */
  private choose(run: Run, choice: Choice, logits: StepLogits, row: number): number | undefined {
    const { vocabSize } = this.model.config;
    const token = logits.argmax
      ? choice.takeArgmax(logits.argmax[row]!)
      : choice.choose(logits.rows!.subarray(row * vocabSize, (row + 1) * vocabSize));
    run.deliver(choice, token);
    return token?.token;
  }

  private dropCancelled(): void {
    for (const run of [...this.running, ...this.waiting]) if (run.isCancelled) run.release();
    this.running = this.running.filter(({ isCancelled }) => !isCancelled);
    this.waiting = this.waiting.filter(({ isCancelled }) => !isCancelled);
  }

  /** Starts requests in the order of the queue while there is room for all that they may come to need. */
  private admit(): void {
    if (!this.mayAdmit) return;
    this.mayAdmit = false;
    const { cache } = this;
    // What was computed within a window is never shared behind it.
    const most = this.window?.most ?? Infinity;
    for (let run = this.waiting[0]; run; run = this.waiting[0]) {
      const { prompt, n } = run.request;
      const choices = this.running.reduce((sum, { request }) => sum + request.n, 0);
      if (choices > 0 && choices + n > this.maxRunning) return;
      run.start(cache.open(prompt.subarray(0, Math.min(prompt.length - 1, most))));
      const pages = this.pagesInUse + this.pagesToCome + run.pagesToCome(cache, this.window);
      if (this.running.length > 0 && pages * cache.pageTokens > cache.capacity) return run.wait();
      this.running.push(run);
      this.waiting.shift();
    }
  }

  private get pagesInUse(): number {
    return (this.cache.capacity - this.cache.freeTokens) / this.cache.pageTokens;
  }

  /** Pages that running requests may still take. */
  private get pagesToCome(): number {
    return this.running.reduce((sum, run) => sum + run.pagesToCome(this.cache, this.window), 0);
  }

  private checkFits(request: CheckedRequest): void {
    const { prompt, n } = request;
    const { pageTokens, capacity } = this.cache;
    const shared = this.window ? 0 : Math.floor(prompt.length / pageTokens);
    const most = mostPages(request, pageTokens, this.window);
    const needed = (shared + n * (most - shared)) * pageTokens;
    if (needed <= capacity) return;
    throw new GenerationError(
      "CacheTooSmall",
      `The request may need ${needed} tokens of cache, the engine has ${capacity}. ` +
        "Ask for fewer tokens or choices, shorten the prompt, or give the engine a larger cache.",
      { needed, capacity },
    );
  }
}

/** Whether the device's argmax is all that a part needs. Nothing is chosen behind a piece of a prompt that is not the last. */
function chosenByDevice({ run, choice, tokens }: Part): boolean {
  const isLast = run.promptLeft?.tokens.length === tokens.length;
  return run.request.isArgmax || !(choice || isLast);
}
