/**
 * Gaps end before this position. Wider ones made SmolLM2-135M worse at both contexts measured, though its file allows 8,192
 * (docs/decisions/0019).
 */
export const FARTHEST = 2048;

/**
 * Positions of the tokens of one calibration sequence, `[length]`. Every second sequence leaves some out in its middle: what follows
 * attends over the gap, so that rotations are measured at distances for which whole sequences would have to be as long, and at no cost
 * (positional skip-wise training, Zhu et al., arXiv 2309.10400). Where the gap lies and how wide it is spreads evenly over the sequences.
 *
 * @param index of the sequence
 * @param maxPositions of the model
 */
export function skippingPositions(length: number, index: number, maxPositions: number): Int32Array {
  const positions = inOrder(length);
  const widest = Math.min(FARTHEST, maxPositions) - length;
  if (index % 2 === 0 || widest <= 0) return positions;
  const start = Math.floor(length * (0.25 + 0.5 * spread(7 * index)));
  const gap = Math.floor(widest * spread((index + 1) / 2));
  for (let t = start; t < length; t++) positions[t] += gap;
  return positions;
}

/** `[0, 1, … length - 1]` */
export function inOrder(length: number): Int32Array {
  return Int32Array.from({ length }, (_, t) => t);
}

/** Numbers in [0, 1) that fill it evenly, however many are taken: multiples of the golden ratio. */
function spread(index: number): number {
  return (index * ((Math.sqrt(5) - 1) / 2)) % 1;
}
