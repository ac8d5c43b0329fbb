/** Weighs the result of a formula with fixed random numbers, so that it becomes one number to differentiate. */
export const weighed = (y: Float64Array, dy: Float32Array): number =>
  y.reduce((sum, value, i) => sum + value * dy[i]!, 0);
