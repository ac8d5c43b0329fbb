import type { ConversionPlan } from "./plan";

/** Bytes on the disk that a conversion needs. */
export interface DiskNeeds {
  /** The converted model's weights. */
  readonly output: number;
  /** Finished layers beside them until the end (`resumable`): float32, as they are written. */
  readonly layers: number;
}

/**
 * What a conversion needs on the disk, from the plan alone: exact, unless sizes are still to be chosen, which changes the attention's share a
 * little. Tokenizers and headers of a few MB come on top.
 */
export function diskNeeds({ shards, tensors }: ConversionPlan): DiskNeeds {
  const numbers = tensors
    .filter(({ convertedLayer }) => convertedLayer !== undefined)
    .map(({ shape }) => shape.reduce((product, size) => product * size, 1));
  return {
    output: shards.totalBytes,
    layers: Float32Array.BYTES_PER_ELEMENT * numbers.reduce((sum, count) => sum + count, 0),
  };
}
