import {
  leadingEigen,
  multiplyTransposedLeft,
  matrix,
  multiply,
  rowSlice,
  columnSlice,
  scaleRows,
  symmetricForm,
  type Matrix,
} from "@transmla/low-rank";

/** A joint latent of position-free keys and values. */
export interface JointLatent {
  /** `[rank, hidden + 1]`: latent from the augmented input. */
  readonly down: Matrix;
  /** `[keyRows, rank]`: position-free keys from the latent. */
  readonly keyUp: Matrix;
  /** `[valueRows, rank]` */
  readonly valueUp: Matrix;
  /** Part of the balanced energy that the latent keeps. */
  readonly keptEnergy: number;
}

/**
 * Balanced joint PCA of position-free keys and values (BKV of TransMLA, arXiv 2502.07864): keys are divided by
 * `mean_j ||K_j|| / mean_j ||V_j||`, so that their larger norm does not crowd out the values, then both are projected onto the
 * leading eigenvectors of their joint uncentred second moment; the ratio is undone in the up-projection.
 *
 * @param keys `[keyRows, hidden + 1]`, augmented. @param values `[valueRows, hidden + 1]`, augmented.
 * @param inputMoment `E[x~ x~^T]`, `[hidden + 1, hidden + 1]`.
 * @param ratio what the keys are divided by.
 */
export function jointCompression(
  keys: Matrix,
  values: Matrix,
  inputMoment: Matrix,
  rank: number,
  ratio = balanceRatio(keys, values, inputMoment),
): JointLatent {
  const joint = stackRows(scaleRows(keys, new Float64Array(keys.rows).fill(1 / ratio)), values);
  const { values: energies, vectors: leading } = leadingEigen(
    symmetricForm(joint, inputMoment),
    rank,
  );
  const keyPart = rowSlice(leading, 0, keys.rows);
  return {
    down: multiplyTransposedLeft(leading, joint),
    keyUp: scaleRows(keyPart, new Float64Array(keys.rows).fill(ratio)),
    valueUp: rowSlice(leading, keys.rows),
    keptEnergy: sum(energies.subarray(0, rank)) / (sum(energies) || 1),
  };
}

/**
 * `mean_j ||K_j|| / mean_j ||V_j||` over rows `j`; 1 where one of the two is zero. Keys whose mean norm is at most
 * `rounding` count as zero: made as large as the values, what rounding left of them would take the latent's rank.
 */
export function balanceRatio(
  keys: Matrix,
  values: Matrix,
  inputMoment: Matrix,
  rounding = 0,
): number {
  const keyNorm = meanRowNorm(keys, inputMoment);
  const valueNorm = meanRowNorm(values, inputMoment);
  return keyNorm > rounding && valueNorm > 0 ? keyNorm / valueNorm : 1;
}

/** The latent that is keys and values themselves: no compression. */
export function fullLatent(keys: Matrix, values: Matrix): JointLatent {
  const rank = keys.rows + values.rows;
  const selection = (rows: number, offset: number) => {
    const m = matrix(rows, rank);
    for (let row = 0; row < rows; row++) m.data[row * rank + offset + row] = 1;
    return m;
  };
  return {
    down: stackRows(keys, values),
    keyUp: selection(keys.rows, 0),
    valueUp: selection(values.rows, keys.rows),
    keptEnergy: 1,
  };
}

/** Principal components of the queries: `query ≈ basis * down x` with `down = basis^T query`. */
export function lowRankQuery(
  query: Matrix,
  inputMoment: Matrix,
  rank: number,
): { readonly basis: Matrix; readonly down: Matrix } {
  const { vectors: basis } = leadingEigen(symmetricForm(query, inputMoment), rank);
  const withoutBias = columnSlice(query, 0, query.columns - 1);
  return { basis, down: multiplyTransposedLeft(basis, withoutBias) };
}

/** `mean_j sqrt(E[y_j^2])` of `y = rows x~`. */
export function meanRowNorm(rows: Matrix, inputMoment: Matrix): number {
  const products = multiply(rows, inputMoment);
  let total = 0;
  for (let row = 0; row < rows.rows; row++) {
    let square = 0;
    const start = row * rows.columns;
    for (let i = 0; i < rows.columns; i++)
      square += rows.data[start + i] * products.data[start + i];
    total += Math.sqrt(Math.max(0, square));
  }
  return total / rows.rows;
}

/** One matrix above the other. */
export function stackRows(...parts: readonly Matrix[]): Matrix {
  const rows = parts.reduce((total, part) => total + part.rows, 0);
  const stacked = matrix(rows, parts[0].columns);
  let offset = 0;
  for (const part of parts) {
    stacked.data.set(part.data, offset);
    offset += part.data.length;
  }
  return stacked;
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + Math.max(0, value), 0);
}
