/** Half the distance of the two points of a difference: its square and the rounding of float64 over it are both small. */
const STEP = 1e-5;

/** Gradients of `loss` by central differences in float64, with respect to every number of every input. */
export function numericGradients(
  inputs: readonly ArrayLike<number>[],
  loss: (inputs: readonly Float64Array[]) => number,
): Float64Array[] {
  const at = inputs.map((values) => Float64Array.from(values));
  return at.map((values) =>
    values.map((value, i) => {
      values[i] = value + STEP;
      const above = loss(at);
      values[i] = value - STEP;
      const below = loss(at);
      values[i] = value;
      return (above - below) / (2 * STEP);
    }),
  );
}
