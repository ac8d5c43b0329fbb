import { matrix, type Matrix } from "@transmla/low-rank";

/** Value of the constant channel: a power of two, exact in every storage, and small enough for float16. */
const CONSTANT = 2 ** 11;
/** Bound that the other channels are scaled to, by a power of two. With the constant it makes the norm neutral to 1.2e-4 at worst. */
const LARGEST = 2 ** 5;

/** A down-projection whose RMS norm changes nothing that matters. */
export interface NeutralNorm {
  /** `[rank + 1, inputs + 1]`: the rows given, scaled, and the constant channel (weights 0, bias `CONSTANT`). */
  readonly down: Matrix;
  /** Weight of the norm for all channels: a power of two, for rounding it would turn the latent. */
  readonly weight: number;
  /** What the up-projection of the channels given must be multiplied by. */
  readonly factor: number;
  /** What multiplies the up-projection of the constant channel so that it counts as 1. */
  readonly constantFactor: number;
}

/**
 * Makes an RMS norm after a down-projection neutral by one more channel with a large constant. With `n` channels, the channels given
 * scaled by `s` and the constant `beta`, the norm divides by
 *
 *     sqrt((s^2 |c|^2 + beta^2) / n + epsilon) = sqrt(beta^2 / n + epsilon) * (1 + s^2 |c|^2 / (2 beta^2) - ...),
 *
 * and the first factor is undone by the norm's weight (its power of two) and the up-projection (the rest). `s` follows from a bound that
 * holds for every input `x = gains * u`, `|u|^2 <= inputs`, as an RMS norm gives it: `|c| <= |W diag(gains)|_F sqrt(inputs) + |b|`.
 * Derived here; see docs/formats/deepseek.md.
 *
 * @param down `[W | b]`, `[rank, inputs + 1]`
 * @param gains `[inputs]`
 * @param epsilon of the norm to be neutralised
 */
export function neutralNorm(down: Matrix, gains: ArrayLike<number>, epsilon: number): NeutralNorm {
  const { rows: rank, columns } = down;
  const bound = latentBound(down, gains);
  const scale = bound > 0 ? 2 ** Math.floor(Math.log2(LARGEST / bound)) : 1;
  const extended = matrix(rank + 1, columns);
  for (const [i, value] of down.data.entries()) extended.data[i] = scale * value;
  extended.data[(rank + 1) * columns - 1] = CONSTANT;
  const divisor = Math.sqrt(CONSTANT ** 2 / (rank + 1) + epsilon);
  const weight = 2 ** Math.round(Math.log2(divisor));
  return {
    down: extended,
    weight,
    factor: divisor / (weight * scale),
    constantFactor: divisor / (weight * CONSTANT),
  };
}

/** No latent is longer than this, whatever the input. */
function latentBound({ rows, columns, data }: Matrix, gains: ArrayLike<number>): number {
  const inputs = columns - 1;
  let weights = 0;
  let biases = 0;
  for (let row = 0; row < rows; row++) {
    const at = row * columns;
    for (let x = 0; x < inputs; x++) weights += (data[at + x] * gains[x]) ** 2;
    biases += data[at + inputs] ** 2;
  }
  return Math.sqrt(weights * inputs) + Math.sqrt(biases);
}
