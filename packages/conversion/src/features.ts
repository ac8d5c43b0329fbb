import type { Device, Tensor } from "@transmla/kernels";
import { columnSlice, matrix, rowSlice, symmetricForm, type Matrix } from "@transmla/low-rank";
import type { AttentionConfig, DecoderLayer, GroupedAttentionLayer } from "@transmla/models";
import { OuterProducts, symmetricMean } from "./outer-products";

/**
 * Something for each of the two vectors that a grouped attention is linear in. Where heads are not normalised both are its input, and
 * what is said of them is one and the same object. Where they are, queries are made of the normalised queries `q^` alone, keys and values of the
 * normalised keys and the input side by side, `[k^; x]`: conversion happens behind the norms, and everything there stays linear.
 */
export interface OfFeatures<Value> {
  readonly query: Value;
  readonly key: Value;
}

/** Rows of numbers on the host, `[rows, width]`. */
export interface FeatureRows {
  readonly values: Float32Array;
  readonly width: number;
}

/** `E[x~ x~^T]` of features with a 1 behind them, `[width + 1, width + 1]` each. */
export type FeatureMoments = OfFeatures<Matrix>;

/** How many numbers keys and values of a layer are made of. */
export function keyFeatures(attention: AttentionConfig, hiddenSize: number): number {
  const normed = attention.kind === "gqa" && attention.headNormEpsilon !== undefined;
  return hiddenSize + (normed ? attention.kvHeads * attention.headDim : 0);
}

/**
 * The tensors that the features of a layer consist of, `[tokens, widths]`: the input of its attention; with norms of heads `q^`, `k^` and the
 * input.
 *
 * @param x the residual stream before the layer, `[tokens, hidden]`
 */
export function featureParts(layer: DecoderLayer, x: Tensor): readonly Tensor[] {
  const input = layer.attentionInput(x);
  const attention = layer.attention as GroupedAttentionLayer;
  if (attention.config.headNormEpsilon === undefined) return [input];
  const { query, key } = attention.beforeRotation(input);
  return [query, key, input];
}

/** The features from what `featureParts` returned, read. */
export function featuresOf(parts: readonly FeatureRows[]): OfFeatures<FeatureRows> {
  const [query, key, input] = parts;
  return key && input ? { query, key: sideBySide(key, input) } : { query, key: query };
}

function sideBySide(left: FeatureRows, right: FeatureRows): FeatureRows {
  const rows = left.values.length / left.width;
  const width = left.width + right.width;
  const values = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    values.set(rowOf(left, row), row * width);
    values.set(rowOf(right, row), row * width + left.width);
  }
  return { values, width };
}

const rowOf = ({ values, width }: FeatureRows, row: number) =>
  values.subarray(row * width, (row + 1) * width);

/** Second moments of features, streamed. Of normalised queries only those within a head are measured: no head asks for another's. */
export class FeatureStatistics {
  private key: OuterProducts | undefined;
  /** Per head; empty where queries are made of what keys are made of. */
  private heads: OuterProducts[] = [];
  private tokens = 0;

  /** @param headDim of the query heads */
  constructor(
    private readonly device: Device,
    private readonly headDim: number,
  ) {}

  async add({ query, key }: OfFeatures<FeatureRows>): Promise<void> {
    this.key ??= this.products(key.width);
    await this.key.add(withOnes(key, 0, key.width));
    this.tokens += key.values.length / key.width;
    if (query === key) return;
    const { headDim } = this;
    if (this.heads.length === 0) {
      this.heads = Array.from({ length: query.width / headDim }, () => this.products(headDim));
    }
    for (const [head, products] of this.heads.entries()) {
      await products.add(withOnes(query, head * headDim, headDim));
    }
  }

  /** Turns the sums into means: nothing can be added afterwards. Throws if nothing was. Products of different heads count as 0. */
  moments(): FeatureMoments {
    const mean = ({ square }: OuterProducts) => symmetricMean(square, this.tokens);
    const key = mean(this.key!);
    return { query: this.heads.length === 0 ? key : headMoments(this.heads.map(mean)), key };
  }

  private products(width: number): OuterProducts {
    return new OuterProducts(this.device, width + 1, width + 1);
  }
}

/** `[x; 1]` of every row, `x` its `count` numbers from `first` on: `[rows, count + 1]`. */
function withOnes({ values, width }: FeatureRows, first: number, count: number): Float32Array {
  const rows = values.length / width;
  const out = new Float32Array(rows * (count + 1)).fill(1);
  for (let row = 0; row < rows; row++) {
    const start = row * width + first;
    out.set(values.subarray(start, start + count), row * (count + 1));
  }
  return out;
}

/** Blocks `[d + 1, d + 1]` along the diagonal, of which the last rows and columns are one. */
function headMoments(blocks: readonly Matrix[]): Matrix {
  const d = blocks[0].rows - 1;
  const n = blocks.length * d + 1;
  const out = matrix(n, n);
  for (const [head, { data }] of blocks.entries()) {
    const place = (index: number) => (index < d ? head * d + index : n - 1);
    for (let i = 0; i <= d; i++) {
      for (let j = 0; j <= d; j++) out.data[place(i) * n + place(j)] = data[i * (d + 1) + j];
    }
  }
  return out;
}

/** `rows moment rows^T` for rows that read few columns, as those of one head do: only these are multiplied. */
export function formOf(rows: Matrix, moment: Matrix): Matrix {
  const [first, end] = columnsRead(rows);
  if (end - first === rows.columns) return symmetricForm(rows, moment);
  const block = columnSlice(rowSlice(moment, first, end), first, end);
  return symmetricForm(columnSlice(rows, first, end), block);
}

/** The first column that is not zero, and the first after the last one; at least one column. */
function columnsRead({ data, rows, columns }: Matrix): readonly [number, number] {
  let [first, end] = [columns, 0];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      if (data[row * columns + column] === 0) continue;
      first = Math.min(first, column);
      end = Math.max(end, column + 1);
    }
  }
  return first < end ? [first, end] : [0, 1];
}

/** Rows that pick the first `count` of `width` features, augmented. */
export function picking(count: number, width: number): Matrix {
  const rows = matrix(count, width + 1);
  for (let row = 0; row < count; row++) rows.data[row * rows.columns + row] = 1;
  return rows;
}

/** Maps of the input as maps of features in which `before` numbers stand before it. */
export function behind(before: number, m: Matrix): Matrix {
  const out = matrix(m.rows, before + m.columns);
  for (let row = 0; row < m.rows; row++) {
    const source = m.data.subarray(row * m.columns, (row + 1) * m.columns);
    out.data.set(source, row * out.columns + before);
  }
  return out;
}

/** The first `count` columns of maps, with a bias of zero. */
export function unbiased(m: Matrix, count: number): Matrix {
  const out = matrix(m.rows, count + 1);
  for (let row = 0; row < m.rows; row++) {
    const source = m.data.subarray(row * m.columns, row * m.columns + count);
    out.data.set(source, row * out.columns);
  }
  return out;
}
