import { LatentCacheError, type CacheSequence, type PagedCache } from "@transmla/latent-cache";
import type { Model } from "@transmla/models";
import type { Drafter, DraftSession } from "./drafter";

/**
 * A smaller model with the same vocabulary guesses: its most probable continuation (Leviathan et al., arXiv 2211.17192, with
 * drafts that are not sampled). Its cache belongs to the caller; a session that finds it full makes no guesses.
 */
export function draftModel(model: Model, cache: PagedCache): Drafter {
  return { open: () => new ModelSession(model, cache) };
}

class ModelSession implements DraftSession {
  private sequence: CacheSequence | undefined;

  constructor(
    private readonly model: Model,
    private readonly cache: PagedCache,
  ) {}

  async propose(tokens: Int32Array, count: number): Promise<Int32Array> {
    const room = this.model.config.maxPositions - tokens.length;
    const guesses: number[] = [];
    try {
      const { sequence, unseen } = this.catchUp(tokens);
      let next = unseen;
      while (guesses.length < Math.min(count, room)) {
        const token = await this.mostProbable(sequence, next);
        guesses.push(token);
        next = Int32Array.of(token);
      }
    } catch (error) {
      if (!LatentCacheError.isInstance(error) || error.code !== "CacheFull") throw error;
    }
    return Int32Array.from(guesses);
  }

  close(): void {
    this.sequence?.release();
  }

  /** Forgets guesses that were wrong; returns the tokens that the model has not seen. */
  private catchUp(tokens: Int32Array): { sequence: CacheSequence; unseen: Int32Array } {
    const sequence = (this.sequence ??= this.cache.open(tokens.subarray(0, -1)));
    const seen = sequence.tokenIds;
    let same = 0;
    while (same < seen.length && same < tokens.length - 1 && seen[same] === tokens[same]) same++;
    sequence.truncate(same);
    return { sequence, unseen: tokens.subarray(same) };
  }

  private async mostProbable(sequence: CacheSequence, tokens: Int32Array): Promise<number> {
    const { device } = this.model;
    const best = device.scope(() =>
      device.argmax(this.model.forward(this.cache, [{ sequence, tokens }])),
    );
    try {
      return (await device.read(best))[0]!;
    } finally {
      device.release(best);
    }
  }
}
