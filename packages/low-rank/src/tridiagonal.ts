import { createKernels } from "./kernels";
import type { Kernels, Pointer } from "./kernels";
import { addProduct, transposed, view } from "./matmul";
import { makeReflector } from "./reflectors";
import type { Reflectors } from "./reflectors";
import { dot, scale } from "./vector";

/** A = Q T Qᵀ with T symmetric tridiagonal and Q = H_0 H_1 …. */
export interface Tridiagonal {
  /** Diagonal of T, `[n]`. */
  readonly diagonal: Float64Array;
  /** (i, i + 1) of T, `[n - 1]` used, in `[n]`. */
  readonly offDiagonal: Float64Array;
  readonly reflectors: Reflectors;
}

/** Rows reduced before the rest of the matrix is brought up to date, in one product. */
const PANEL = 32;

/** Memory of a reduction: the matrix `[n, n]` comes first. */
export interface Workspace {
  readonly kernels: Kernels;
  readonly n: number;
  /** Rows u of the current panel, `[PANEL, n]`, once more after W. */
  readonly v: Pointer;
  readonly w: Pointer;
  readonly vAgain: Pointer;
  /** A u, `[n]`. */
  readonly product: Pointer;
  /** `[PANEL]`. */
  readonly coefficients: Pointer;
}

export function tridiagonalWorkspace(n: number): Workspace {
  const v = n * n;
  const w = v + PANEL * n;
  const vAgain = w + PANEL * n;
  const product = vAgain + PANEL * n;
  const coefficients = product + n;
  const kernels = createKernels(coefficients + PANEL);
  return { kernels, n, v, w, vAgain, product, coefficients };
}

/**
 * Householder tridiagonalisation of the upper triangle of the row-major matrix at the start of the
 * workspace, which is overwritten.
 *
 * Step k takes A to A - u wᵀ - w uᵀ, where w depends on A u. Within a panel A stays as it is, what is
 * read of it is corrected by the panel's rows u and w, and after the panel A becomes A - Vᵀ W - Wᵀ V
 * (Dongarra, Sorensen, Hammarling 1989). So half of the work is a matrix product; the other half reads
 * the remaining triangle once a step.
 */
export function tridiagonalise(workspace: Workspace): Tridiagonal {
  const { kernels, n, v, w, vAgain, product } = workspace;
  const a = kernels.numbers;
  const diagonal = new Float64Array(n);
  const offDiagonal = new Float64Array(n);
  const count = n - 1;
  const vectors = new Float64Array(count * n);
  const tau = new Float64Array(count);
  for (let k = 0; k < n; k += 1) {
    const p = k % PANEL;
    if (p === 0 && k > 0) subtractPanel(workspace, k);
    correctRow(workspace, k, p);
    diagonal[k] = a[k * n + k];
    if (k === count) break;
    const next = k + 1;
    const size = n - next;
    const reflector = makeReflector(a, k * n + next, size);
    offDiagonal[k] = reflector.alpha;
    tau[k] = reflector.tau;
    const row = a.subarray(k * n + next, k * n + n);
    for (const copy of [v, vAgain]) {
      a.fill(0, copy + p * n, copy + p * n + next);
      a.set(row, copy + p * n + next);
    }
    vectors.set(row, k * n + next);

    const u = v + p * n + next;
    kernels.symmetricTimesVector(product + next, next * (n + 1), n, u, size);
    correctProduct(workspace, next, p);
    // w = tau (A u) - (tau² / 2) (uᵀ A u) u
    // (tau² alone overflows for the shortest reflectors)
    const au = product + next;
    const half = 0.5 * reflector.tau * (reflector.tau * dot(a, u, a, au, size));
    const own = w + p * n + next;
    a.fill(0, w + p * n, own);
    for (let i = 0; i < size; i += 1) a[own + i] = reflector.tau * a[au + i] - half * a[u + i];
  }
  // Every reflector starts one component after the row it clears.
  return { diagonal, offDiagonal, reflectors: { count, length: n, vectors, tau } };
}

/** Row k from the diagonal on, less what the panel's first p steps change in it. */
function correctRow({ kernels, n, v, w, coefficients }: Workspace, k: number, p: number): void {
  const { numbers } = kernels;
  const row = k * n + k;
  for (const [rows, others] of [
    [v, w],
    [w, v],
  ]) {
    for (let q = 0; q < p; q += 1) numbers[coefficients + q] = -numbers[others + q * n + k];
    kernels.addRows(row, coefficients, rows + k, n, p, n - k);
  }
}

/** A u for the panel's newest u, less what its first p steps change in A; components from `next` on. */
function correctProduct(workspace: Workspace, next: number, p: number): void {
  const { kernels, n, v, w, product, coefficients } = workspace;
  const u = v + p * n + next;
  for (const [rows, others] of [
    [v, w],
    [w, v],
  ]) {
    kernels.multiplyRows(coefficients, others + next, n, u, p, n - next);
    scale(kernels.numbers, coefficients, p, -1);
    kernels.addRows(product + next, coefficients, rows + next, n, p, n - next);
  }
}

/** A -= Vᵀ W + Wᵀ V = [V; W]ᵀ [W; V], from row and column k on. */
function subtractPanel({ kernels, n, v, w }: Workspace, k: number): void {
  const a = kernels.numbers;
  const rest = n - k;
  const left = transposed(view(a, n, v + k));
  addProduct(view(a, n, k * (n + 1)), left, view(a, n, w + k), rest, rest, 2 * PANEL, {
    sign: -1,
    upper: true,
  });
}
