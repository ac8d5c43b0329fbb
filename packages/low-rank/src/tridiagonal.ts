import { makeReflector } from "./reflectors";
import type { Reflectors } from "./reflectors";
import { axpy, dot } from "./vector";

/** A = Q T Qᵀ with T symmetric tridiagonal and Q = H_0 H_1 …. */
export interface Tridiagonal {
  /** Diagonal of T, `[n]`. */
  readonly diagonal: Float64Array;
  /** (i, i + 1) of T, `[n - 1]` used, in `[n]`. */
  readonly offDiagonal: Float64Array;
  readonly reflectors: Reflectors;
}

/**
 * Householder tridiagonalisation of the upper triangle of a row-major `[n, n]` array, which is
 * overwritten.
 *
 * Step k needs A u for its reflector u and then subtracts u wᵀ + w uᵀ. The subtraction is put off to
 * the next step, where it shares one pass over the triangle with the next product: each element is
 * read and written once a step.
 */
export function tridiagonalise(a: Float64Array, n: number): Tridiagonal {
  const diagonal = new Float64Array(n);
  const offDiagonal = new Float64Array(n);
  const count = Math.max(0, n - 1);
  const vectors = new Float64Array(count * n);
  const tau = new Float64Array(count);
  let v = new Float64Array(n);
  const w = new Float64Array(n);
  const product = new Float64Array(n);
  for (let k = 0; k < n; k += 1) {
    axpy(-v[k], w, k, a, k * n + k, n - k);
    axpy(-w[k], v, k, a, k * n + k, n - k);
    diagonal[k] = a[k * n + k];
    if (k === n - 1) break;
    const size = n - k - 1;
    const reflector = makeReflector(a, k * n + k + 1, size);
    offDiagonal[k] = reflector.alpha;
    tau[k] = reflector.tau;
    const u = new Float64Array(n);
    u.set(a.subarray(k * n + k + 1, (k + 1) * n), k + 1);
    product.fill(0);
    updateAndMultiply(a, n, k + 1, v, w, u, product);
    // w = tau (A u) - (tau² / 2) (uᵀ A u) u
    // (tau² alone overflows for the shortest reflectors)
    const half = 0.5 * reflector.tau * (reflector.tau * dot(u, k + 1, product, k + 1, size));
    for (let i = k + 1; i < n; i += 1) w[i] = reflector.tau * product[i] - half * u[i];
    v = u;
    vectors.set(u, k * n);
  }
  // Every reflector starts one component after the row it clears.
  return { diagonal, offDiagonal, reflectors: { count, length: n, vectors, tau } };
}

/** A -= v wᵀ + w vᵀ and p += A u, on the upper triangle from `start`, two rows at a time. */
function updateAndMultiply(
  a: Float64Array,
  n: number,
  start: number,
  v: Float64Array,
  w: Float64Array,
  u: Float64Array,
  p: Float64Array,
): void {
  let i = start;
  if ((n - i) % 2 === 1) {
    updateRow(a, n, i, v, w, u, p);
    i += 1;
  }
  for (; i < n; i += 2) {
    const top = i * n;
    const bottom = top + n;
    const v0 = v[i];
    const w0 = w[i];
    const u0 = u[i];
    const v1 = v[i + 1];
    const w1 = w[i + 1];
    const u1 = u[i + 1];
    const corner = a[top + i] - 2 * v0 * w0;
    const side = a[top + i + 1] - v0 * w1 - w0 * v1;
    const last = a[bottom + i + 1] - 2 * v1 * w1;
    a[top + i] = corner;
    a[top + i + 1] = side;
    a[bottom + i + 1] = last;
    let sum0 = corner * u0 + side * u1;
    let sum1 = side * u0 + last * u1;
    for (let j = i + 2; j < n; j += 1) {
      const vj = v[j];
      const wj = w[j];
      const uj = u[j];
      const x = a[top + j] - v0 * wj - w0 * vj;
      const y = a[bottom + j] - v1 * wj - w1 * vj;
      a[top + j] = x;
      a[bottom + j] = y;
      sum0 += x * uj;
      sum1 += y * uj;
      p[j] += x * u0 + y * u1;
    }
    p[i] += sum0;
    p[i + 1] += sum1;
  }
}

function updateRow(
  a: Float64Array,
  n: number,
  i: number,
  v: Float64Array,
  w: Float64Array,
  u: Float64Array,
  p: Float64Array,
): void {
  const row = i * n;
  axpy(-v[i], w, i, a, row + i, n - i);
  axpy(-w[i], v, i, a, row + i, n - i);
  p[i] += dot(a, row + i, u, i, n - i);
  axpy(u[i], a, row + i + 1, p, i + 1, n - i - 1);
}
