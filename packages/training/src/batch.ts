/** Documents packed end to end; attention stays within each. */
export interface Batch {
  /** `[tokens]` */
  readonly ids: Int32Array;
  /** The token that follows, `[tokens]`; of no meaning where the weight is 0. */
  readonly targets: Int32Array;
  /** What the prediction of each target counts, `[tokens]`. */
  readonly weights: Float32Array;
  /** Position within its document, `[tokens]`. */
  readonly positions: Int32Array;
  /** First row of every document. */
  readonly documents: Int32Array;
  /** Row of each document's first token in the data, for what is stored by token: `[documents]`. */
  readonly origins: Int32Array;
}

/** A text to learn from. */
export interface Document {
  /** At least two. */
  readonly tokens: Int32Array;
  /** What the prediction of each token counts, `[tokens]`; that of the first is never made. Absent: 1 for all. */
  readonly weights?: Float32Array | undefined;
}

/** Packs documents; every token but the last of a document is an input, every token but the first a target. */
export function packBatch(documents: readonly Document[], origins: readonly number[] = []): Batch {
  const total = documents.reduce((sum, { tokens }) => sum + tokens.length - 1, 0);
  const batch = {
    ids: new Int32Array(total),
    targets: new Int32Array(total),
    weights: new Float32Array(total).fill(1),
    positions: new Int32Array(total),
    documents: new Int32Array(documents.length),
    origins: Int32Array.from(documents, (_, i) => origins[i] ?? 0),
  };
  let row = 0;
  for (const [i, { tokens, weights }] of documents.entries()) {
    batch.documents[i] = row;
    batch.ids.set(tokens.subarray(0, -1), row);
    batch.targets.set(tokens.subarray(1), row);
    if (weights) batch.weights.set(weights.subarray(1), row);
    for (let t = 0; t < tokens.length - 1; t++) batch.positions[row + t] = t;
    row += tokens.length - 1;
  }
  return batch;
}

/** Sum of the weights of all predictions. */
export const totalWeight = (batches: readonly Batch[]): number =>
  batches.reduce((sum, { weights }) => sum + weights.reduce((own, weight) => own + weight, 0), 0);
