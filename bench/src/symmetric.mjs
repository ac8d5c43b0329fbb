import { randomNumbers } from "./random.mjs";

/** `a + a^T` of random numbers, `[size, size]`, the same in every process. */
export function symmetric(size) {
  const a = randomNumbers(size * size, 1);
  const result = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) result[i * size + j] = a[i * size + j] + a[j * size + i];
  }
  return result;
}
