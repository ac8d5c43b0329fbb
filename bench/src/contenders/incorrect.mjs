/** Thrown in a contender's process; the name travels to `openContender`. */
export class Incorrect extends Error {
  name = "Incorrect";
}

/**
 * Compares what a kernel gave with what it should have given, relative to the largest number expected.
 *
 * @throws {Incorrect} above `tolerance`, or where a number is missing or not finite
 */
export function expectClose(what, actual, expected, tolerance) {
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  let worst = actual.length === expected.length ? 0 : Infinity;
  for (const [i, value] of expected.entries()) {
    const difference = Math.abs(actual[i] - value);
    // Not a number compares false with everything.
    if (!(difference <= worst)) worst = difference;
  }
  if (worst <= tolerance * scale) return;
  throw new Incorrect(
    `${what} is off by ${worst / scale} of its largest value; ${tolerance} is allowed`,
  );
}
