/** Errors of a layer at a few sizes, both in order of the sizes. */
export interface MeasuredSizes {
  readonly sizes: readonly number[];
  readonly errors: readonly number[];
}

/** Errors below this part of the largest count as this: their logarithm is taken. */
const LEAST = 1e-9;

/**
 * Sizes of all layers, `mean` in the mean, with the least sum of errors: a dynamic programme over sizes `mean + i step` within what was
 * measured, errors between measured sizes interpolated in their logarithm. Equal sizes are one of the possibilities, so the sum is
 * never larger than theirs.
 *
 * @param table one entry per layer; every range of sizes includes `mean`
 */
export function allocate(table: readonly MeasuredSizes[], mean: number, step: number): number[] {
  // best[used]: the least error of the layers so far whose steps from the mean sum up to `used + lowest`.
  let lowest = 0;
  let best = Float64Array.of(0);
  const choices: { lowest: number; steps: Int32Array }[] = [];
  for (const layer of table) {
    const { from, errors } = steppedErrors(layer, mean, step);
    const next = new Float64Array(best.length + errors.length - 1).fill(Infinity);
    const steps = new Int32Array(next.length);
    for (const [before, sum] of best.entries()) {
      for (const [index, error] of errors.entries()) {
        if (sum + error >= next[before + index]) continue;
        next[before + index] = sum + error;
        steps[before + index] = from + index;
      }
    }
    lowest += from;
    best = next;
    choices.push({ lowest, steps });
  }
  const sizes: number[] = [];
  let used = 0;
  for (const { lowest: low, steps } of choices.toReversed()) {
    const taken = steps[used - low];
    sizes.unshift(mean + taken * step);
    used -= taken;
  }
  return sizes;
}

/** Errors at `mean + (from + index) step`. */
function steppedErrors(
  { sizes, errors }: MeasuredSizes,
  mean: number,
  step: number,
): { from: number; errors: number[] } {
  const from = Math.ceil((sizes[0] - mean) / step);
  const to = Math.floor((sizes.at(-1)! - mean) / step);
  const least = LEAST * Math.max(...errors) + Number.MIN_VALUE;
  const logs = errors.map((error) => Math.log(Math.max(least, error)));
  const at = (size: number) => {
    const right = Math.max(
      1,
      sizes.findIndex((known) => known >= size),
    );
    const part = (size - sizes[right - 1]) / (sizes[right] - sizes[right - 1]);
    return Math.exp(logs[right - 1] + part * (logs[right] - logs[right - 1]));
  };
  return {
    from,
    errors: Array.from({ length: to - from + 1 }, (_, i) =>
      sizes.length > 1 ? at(mean + (from + i) * step) : errors[0],
    ),
  };
}
