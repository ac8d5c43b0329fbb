import type { CacheSequence, PagedCache } from "@transmla/latent-cache";
import type { Model } from "@transmla/models";
import { GenerationError } from "../errors";
import { checkCount } from "../check-request";
import type { CheckedRequest } from "./check-engine-request";

/** What stays in the cache of a text that is longer: its first tokens and its last ones. */
export interface WindowOptions {
  /** First tokens, which attention leans on whatever they say; rounded up to whole pages (default 4). */
  readonly sinks?: number | undefined;
  /** Last tokens at least. */
  readonly tokens: number;
}

/** A window in whole pages. */
export interface SlidingWindow {
  readonly sinks: number;
  /** Tokens in the cache at most: sinks, window, and a page that is being filled. */
  readonly most: number;
}

/**
 * A window that a model can have (StreamingLLM: Xiao et al., arXiv 2309.17453): positions count within the cache, so that they
 * never exceed the model's, however long the text.
 *
 * @param step tokens that a step may add to a sequence
 * @throws GenerationError `InvalidOption`
 */
export function slidingWindow(
  { sinks = 4, tokens }: WindowOptions,
  { pageTokens }: PagedCache,
  { config }: Model,
  step: number,
): SlidingWindow {
  const first = Math.ceil(checkCount("window.sinks", sinks, 0) / pageTokens) * pageTokens;
  const most = first + checkCount("window.tokens", tokens) + pageTokens + step;
  if (most <= config.maxPositions) return { sinks: first, most };
  throw new GenerationError(
    "InvalidOption",
    `A window of ${tokens} tokens behind ${first}, with a page and a step, takes ${most} positions; the model has ${config.maxPositions}.`,
    { option: "window.tokens", value: tokens, most, maxPositions: config.maxPositions },
  );
}

/** Drops the oldest pages behind the sinks, as many as `count` further tokens need. */
export function slide(
  model: Model,
  cache: PagedCache,
  sequence: CacheSequence,
  { sinks, most }: SlidingWindow,
  count: number,
): void {
  const excess = sequence.length + count - most;
  if (excess <= 0) return;
  const dropped = Math.ceil(excess / cache.pageTokens) * cache.pageTokens;
  sequence.discard(sinks, dropped);
  model.moveBack(cache, sequence, sinks, dropped);
}

/** Pages of one sequence at most. */
export function mostPages(
  { prompt, limit }: CheckedRequest,
  pageTokens: number,
  window: SlidingWindow | undefined,
): number {
  const tokens = Math.min(prompt.length + limit, window?.most ?? Infinity);
  return Math.ceil(tokens / pageTokens);
}
