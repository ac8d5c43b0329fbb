import type { CacheSequence, PagedCache } from "@transmla/latent-cache";
import type { Model } from "@transmla/models";
import { GenerationError } from "../errors";
import { checkCount } from "../check-request";
import type { CheckedRequest } from "./check-engine-request";

/** What stays in the cache of a text that is longer: its first tokens and its last ones. */
export interface WindowOptions {
  /** First tokens, which attention leans on whatever they say; rounded up to whole pages (default 4). */
  readonly sinks?: number | undefined;
  /** Last tokens at least; rounded up to whole pages. */
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
 * @throws GenerationError `InvalidOption`
 */
export function slidingWindow(
  { sinks = 4, tokens }: WindowOptions,
  { pageTokens }: PagedCache,
  { config }: Model,
): SlidingWindow {
  const inPages = (count: number) => Math.ceil(count / pageTokens) * pageTokens;
  const first = inPages(checkCount("window.sinks", sinks, 0));
  const most = first + inPages(checkCount("window.tokens", tokens)) + pageTokens;
  if (most <= config.maxPositions) return { sinks: first, most };
  throw new GenerationError(
    "InvalidOption",
    `A window of ${tokens} tokens behind ${first}, with a page being filled, takes ${most} positions; the model has ${config.maxPositions}.`,
    { option: "window.tokens", value: tokens, most, maxPositions: config.maxPositions },
  );
}

/**
 * How many tokens a sequence can take. A full one loses its oldest page behind the sinks first: always one page and always at the
 * same lengths, so that what a token sees does not depend on how many are computed at once.
 */
export function makeRoom(
  model: Model,
  cache: PagedCache,
  sequence: CacheSequence,
  { sinks, most }: SlidingWindow,
): number {
  if (sequence.length === most) {
    sequence.discard(sinks, cache.pageTokens);
    model.moveBack(cache, sequence, sinks, cache.pageTokens);
  }
  return most - sequence.length;
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
