/** `exp(x_i) / sum exp(x)` in float64, shifted by the largest entry so that nothing overflows. In place. */
export function softmax(logits: Float64Array): Float64Array {
  let largest = -Infinity;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += logits[i] = Math.exp(logits[i]! - largest);
  for (let i = 0; i < logits.length; i++) logits[i]! /= sum;
  return logits;
}

/** `cap * tanh(x_i / cap)`; without a cap the logits as they are. In place. */
export function softCapped(logits: Float64Array, cap: number | undefined): Float64Array {
  if (cap === undefined) return logits;
  for (let i = 0; i < logits.length; i++) logits[i] = cap * Math.tanh(logits[i]! / cap);
  return logits;
}
