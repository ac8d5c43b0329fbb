import {
  add,
  blockDiagonal,
  columnSlice,
  identity,
  leadingEigen,
  matrix,
  multiply,
  multiplyTransposedLeft,
  rowSlice,
  squareRoots,
  symmetricForm,
  trace,
  type Matrix,
} from "@transmla/low-rank";
import type { GroupedAttentionConfig } from "@transmla/models";
import type { GroupedWeights } from "../../weights";
import { scaled } from "../../matrices";
import { stackRows, type JointLatent } from "../joint-compression";
import { allSteps, type OutputAwareSteps } from "./steps";

/** Weight of keys against values, relative to equal shares of the weighted energy. */
const KEY_SHARE = 0.7;
/** Every direction counts by this part of the mean eigenvalue of a metric, and by its own. */
const FLOOR = 1e-6;
/**
 * Logits that vary by less count as varying by this much: what moves no softmax must not be blown up to the importance of the
 * values, least of all when it is rounding.
 */
const LEAST_LOGIT = 0.01;

/** A joint latent, and what it leaves to the output bias. */
export interface OutputAwareLatent extends JointLatent {
  /** What the up-projected latent lacks of the mean values, `[kvHeads * headDim]`. */
  readonly valueOffset: Float64Array;
}

/** What is compressed beside the values, and by what its errors are measured. */
export interface LatentMetrics {
  /** Position-free keys, `[kvHeads * headDim, hidden + 1]`. */
  readonly nopeKeys: Matrix;
  /** The blocks of `Mk`, see `queryMetric`. */
  readonly keyMetric: readonly Matrix[];
}

/**
 * The joint latent of position-free keys and values that loses least of the logits and of the layer's output.
 *
 * `y = [k^; v]` is centred, because a constant key changes no softmax and the mean value becomes an output bias. Errors of keys are
 * measured by the queries that meet them, `Mk = blockdiag_a(sum of E[q~ q~^T] over the heads of group a)`, errors of values by
 * the output projection, `Mv = blockdiag_a(sum Wo_i^T Wo_i)`. With `S = blockdiag(lambda^2 Mk, Mv)`,
 * `lambda = 0.7 sqrt(tr(Mv Cvv) / tr(Mk Ckk))`, and `P` the leading eigenvectors of `S^(1/2) C S^(1/2)`:
 * `down = t P^T S^(1/2) Y`, `up = S^(-1/2) P / t` (Eckart and Young in the metric `S`), `t` making latents as large as `y`.
 *
 * @param inputMoment `E[x~ x~^T]`
 * @param steps `outputAware` off: `Mk = 1`, `Mv = 1`; `centring` off: `y` as it is, and nothing is left to the bias
 */
export function outputAwareLatent(
  weights: GroupedWeights,
  config: GroupedAttentionConfig,
  { nopeKeys, keyMetric }: LatentMetrics,
  inputMoment: Matrix,
  rank: number,
  steps: Pick<OutputAwareSteps, "outputAware" | "centring"> = allSteps,
): OutputAwareLatent {
  const y = stackRows(nopeKeys, weights.value);
  const covariance = symmetricForm(y, steps.centring ? centred(inputMoment) : inputMoment);
  const metric = steps.outputAware
    ? balancedRoots(
        keyMetric,
        outputMetric(weights.output, config),
        covariance,
        config.heads * (LEAST_LOGIT / config.scale) ** 2,
      )
    : balancedRoots([identity(nopeKeys.rows)], [identity(weights.value.rows)], covariance, 0);
  const { values: energies, vectors: leading } = leadingEigen(
    symmetricForm(metric.root, covariance),
    rank,
  );
  // The metric's scale is arbitrary: latents are as large as what they stand for.
  const total = sum(energies);
  const ratio = trace(covariance) / total;
  const size = ratio > 0 && ratio < Infinity ? Math.sqrt(ratio) : 1;
  const down = scaled(multiply(multiplyTransposedLeft(leading, metric.root), y), size);
  const up = scaled(multiply(metric.inverseRoot, leading), 1 / size);
  const keyRows = nopeKeys.rows;
  const valueUp = rowSlice(up, keyRows);
  return {
    down,
    keyUp: rowSlice(up, 0, keyRows),
    valueUp,
    keptEnergy: sum(energies.subarray(0, rank)) / (total || 1),
    valueOffset: steps.centring
      ? meanResidual(weights.value, valueUp, down, inputMoment)
      : new Float64Array(weights.value.rows),
  };
}

/** Covariance of `x~`: the second moment less the mean's, whose last row and column become zero. */
function centred(inputMoment: Matrix): Matrix {
  const n = inputMoment.rows;
  const mean = meanOf(inputMoment);
  return add(inputMoment, multiply(mean, matrix(1, n, mean.data)), -1);
}

/** `E[x~]`, `[hidden + 1, 1]`: the last column of the second moment. */
function meanOf(inputMoment: Matrix): Matrix {
  return columnSlice(inputMoment, inputMoment.columns - 1);
}

/**
 * The blocks of `Mk`: how much the logits of a group suffer from an error of its keys, `[headDim, headDim]` each.
 *
 * @param queryNope position-free queries as maps of the features, `[heads * headDim, features]`
 * @param moments `E[f_i f_i^T]` of the features, per head
 */
export function queryMetric(
  queryNope: Matrix,
  moments: readonly Matrix[],
  { heads, kvHeads, headDim }: GroupedAttentionConfig,
): Matrix[] {
  const blocks = Array.from({ length: kvHeads }, () => matrix(headDim, headDim));
  for (const [i, moment] of moments.entries()) {
    const group = Math.floor((i * kvHeads) / heads);
    const query = rowSlice(queryNope, i * headDim, (i + 1) * headDim);
    blocks[group] = add(blocks[group], symmetricForm(query, moment));
  }
  return blocks;
}

/** The blocks of `Mv`: how much the layer's output suffers from an error of a group's values. */
function outputMetric(
  output: Matrix,
  { heads, kvHeads, headDim }: GroupedAttentionConfig,
): Matrix[] {
  const blocks = Array.from({ length: kvHeads }, () => matrix(headDim, headDim));
  for (let i = 0; i < heads; i++) {
    const group = Math.floor((i * kvHeads) / heads);
    const columns = columnSlice(output, i * headDim, (i + 1) * headDim);
    blocks[group] = add(blocks[group], multiplyTransposedLeft(columns, columns));
  }
  return blocks;
}

/** Square roots of `S`; keys and values each keep their own floor. */
function balancedRoots(
  keyMetric: readonly Matrix[],
  valueMetric: readonly Matrix[],
  covariance: Matrix,
  leastKeyEnergy: number,
): { root: Matrix; inverseRoot: Matrix } {
  const keyEnergy = Math.max(leastKeyEnergy, weightedEnergy(keyMetric, covariance, 0));
  const keyRows = keyMetric.reduce((rows, block) => rows + block.rows, 0);
  const valueEnergy = weightedEnergy(valueMetric, covariance, keyRows);
  const measured = valueEnergy > 0 && keyEnergy > 0;
  const balance = measured ? KEY_SHARE * Math.sqrt(valueEnergy / keyEnergy) : 1;
  const keys = blockRoots(keyMetric);
  const values = blockRoots(valueMetric);
  const root = keys.map((block) => scaled(block.root, balance));
  const inverseRoot = keys.map((block) => scaled(block.inverseRoot, 1 / balance));
  return {
    root: blockDiagonal([...root, ...values.map((block) => block.root)]),
    inverseRoot: blockDiagonal([...inverseRoot, ...values.map((block) => block.inverseRoot)]),
  };
}

/** `tr(M C)` of a block-diagonal metric, whose first row is row `first` of the covariance. */
function weightedEnergy(blocks: readonly Matrix[], covariance: Matrix, first: number): number {
  let energy = 0;
  let start = first;
  for (const block of blocks) {
    const end = start + block.rows;
    energy += trace(multiply(block, columnSlice(rowSlice(covariance, start, end), start, end)));
    start = end;
  }
  return energy;
}

/** Square roots of the blocks of a metric. Of weights that are zero nothing is measured: then all directions count alike. */
function blockRoots(blocks: readonly Matrix[]) {
  const rows = blocks.reduce((total, block) => total + block.rows, 0);
  const mean = blocks.reduce((total, block) => total + trace(block), 0) / rows;
  const floor = mean > 0 ? FLOOR * mean : 1;
  return blocks.map((block) => squareRoots(add(block, identity(block.rows), floor)));
}

/** `E[v] - U_v E[c]` */
function meanResidual(value: Matrix, valueUp: Matrix, down: Matrix, moment: Matrix): Float64Array {
  const mean = meanOf(moment);
  return add(multiply(value, mean), multiply(valueUp, multiply(down, mean)), -1).data;
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + Math.max(0, value), 0);
}
