import { LowRankError } from "./errors";

export interface ConjugateGradientOptions {
  /** Steps taken; fewer once every residual is zero. */
  readonly iterations: number;
  /** Independent systems that lie one after the other in `b`, equally long: each has step lengths of its own. Default 1. */
  readonly systems?: number;
}

/** A symmetric positive semidefinite operator: `x` → `A x`, of the same length. */
export type SymmetricOperator = (x: Float64Array) => Float64Array | Promise<Float64Array>;

/**
 * Some steps of conjugate gradients (Hestenes, Stiefel 1952) from zero towards A x = b. Stopping early damps the directions that A
 * hardly sees, so few steps on an ill-conditioned problem act like a ridge. The operator may be asynchronous: it may run elsewhere.
 *
 * @throws LowRankError InvalidArgument (iterations, systems), ShapeMismatch (the operator's result), NonFinite (an energy xᵀ A x)
 */
export async function conjugateGradients(
  apply: SymmetricOperator,
  b: Float64Array,
  { iterations, systems = 1 }: ConjugateGradientOptions,
): Promise<Float64Array> {
  requireSizes(b.length, iterations, systems);
  const size = b.length / systems;
  const x = new Float64Array(b.length);
  const residual = b.slice();
  const direction = b.slice();
  const squares = Array.from({ length: systems }, (_, s) => dot(residual, residual, s, size));
  for (let i = 0; i < iterations && squares.some((square) => square > 0); i += 1) {
    const image = await apply(direction);
    if (image.length !== b.length) {
      throw new LowRankError(
        "ShapeMismatch",
        `conjugateGradients: the operator returned ${image.length} numbers for ${b.length}`,
        { expected: b.length, actual: image.length },
      );
    }
    for (let s = 0; s < systems; s += 1) {
      const energy = dot(direction, image, s, size);
      if (!Number.isFinite(energy)) {
        throw new LowRankError(
          "NonFinite",
          `conjugateGradients: the energy of system ${s} is ${energy} in step ${i + 1}`,
          { system: s, step: i + 1, energy },
        );
      }
      // Nothing is left to gain along a direction without energy.
      if (!(energy > 0)) continue;
      const length = squares[s] / energy;
      for (let j = s * size; j < (s + 1) * size; j += 1) {
        x[j] += length * direction[j];
        residual[j] -= length * image[j];
      }
      const next = dot(residual, residual, s, size);
      const turn = next / squares[s];
      for (let j = s * size; j < (s + 1) * size; j += 1) {
        direction[j] = residual[j] + turn * direction[j];
      }
      squares[s] = next;
    }
  }
  return x;
}

function requireSizes(length: number, iterations: number, systems: number): void {
  if (!Number.isSafeInteger(iterations) || iterations < 1) {
    throw new LowRankError(
      "InvalidArgument",
      `conjugateGradients: iterations must be a whole number from 1, got ${iterations}`,
      { iterations },
    );
  }
  if (!Number.isSafeInteger(systems) || systems < 1 || length % systems !== 0) {
    throw new LowRankError(
      "InvalidArgument",
      `conjugateGradients: ${length} unknowns cannot be divided among ${systems} systems`,
      { length, systems },
    );
  }
}

/** Inner product of the `system`-th stretch of `size` numbers. */
function dot(a: Float64Array, b: Float64Array, system: number, size: number): number {
  let sum = 0;
  for (let j = system * size; j < (system + 1) * size; j += 1) sum += a[j] * b[j];
  return sum;
}
