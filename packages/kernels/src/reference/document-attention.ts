import type { DocumentAttention } from "../training-device";
import type { DocumentSizes } from "../validate";

/** Numbers of the tensors of a `DocumentAttention`. */
export interface DocumentData {
  readonly queries: readonly Float32Array[];
  readonly keys: readonly Float32Array[];
  readonly values: Float32Array;
}

/** One head of one query row: the rows it sees, and where its numbers and those of its key and value heads are. */
interface View {
  readonly row: number;
  readonly head: number;
  readonly first: number;
  readonly query: (part: number) => number;
  readonly key: (part: number, n: number) => number;
  readonly value: (n: number) => number;
}

/** Every head of every row, in order. */
function* views(input: DocumentAttention, sizes: DocumentSizes): Generator<View> {
  const { heads, parts, valueHeads, window = Infinity } = input;
  const { widths, valueDim } = sizes;
  for (const document of sizes.documents) {
    for (let row = document.first; row < document.first + document.count; row++) {
      for (let head = 0; head < heads; head++) {
        yield {
          row,
          head,
          first: Math.max(document.first, row - window + 1),
          query: (part) => (row * heads + head) * widths[part]!,
          key: (part, n) => {
            const { keyHeads } = parts[part]!;
            return (n * keyHeads + Math.floor((head * keyHeads) / heads)) * widths[part]!;
          },
          value: (n) => (n * valueHeads + Math.floor((head * valueHeads) / heads)) * valueDim,
        };
      }
    }
  }
}

/** Logits of the rows that a view sees, and how each falls off with the sum before the soft cap. */
function logitsOf(
  { scale, softCap, parts }: DocumentAttention,
  { widths }: DocumentSizes,
  data: DocumentData,
  { row, first, query, key }: View,
): { readonly logits: Float64Array; readonly slopes: Float64Array } {
  const logits = new Float64Array(row - first + 1);
  const slopes = new Float64Array(logits.length).fill(scale);
  for (let n = first; n <= row; n++) {
    let sum = 0;
    for (let part = 0; part < parts.length; part++) {
      const [q, k] = [query(part), key(part, n)];
      for (let i = 0; i < widths[part]!; i++) {
        sum += data.queries[part]![q + i]! * data.keys[part]![k + i]!;
      }
    }
    logits[n - first] = scale * sum;
    if (softCap === undefined) continue;
    const capped = Math.tanh((scale * sum) / softCap);
    logits[n - first] = softCap * capped;
    slopes[n - first] = scale * (1 - capped * capped);
  }
  return { logits, slopes };
}

/** `[tokens, heads * valueDim]` and `[tokens, heads]`. */
export function documentAttention(
  input: DocumentAttention,
  sizes: DocumentSizes,
  data: DocumentData,
): { readonly output: Float32Array; readonly logSums: Float32Array } {
  const { heads } = input;
  const { tokens, valueDim } = sizes;
  const output = new Float32Array(tokens * heads * valueDim);
  const logSums = new Float32Array(tokens * heads);
  for (const view of views(input, sizes)) {
    const { row, head, first, value } = view;
    const { logits } = logitsOf(input, sizes, data, view);
    const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    const logSum = largest + Math.log(sum);
    logSums[row * heads + head] = logSum;
    for (let v = 0; v < valueDim; v++) {
      let mixed = 0;
      for (let n = first; n <= row; n++) {
        mixed += Math.exp(logits[n - first]! - logSum) * data.values[value(n) + v]!;
      }
      output[(row * heads + head) * valueDim + v] = mixed;
    }
  }
  return { output, logSums };
}

/** Gradients by the chain rule, with softmax weights that are computed anew. */
export function documentAttentionBackward(
  input: DocumentAttention,
  sizes: DocumentSizes,
  data: DocumentData,
  dOutput: Float32Array,
): DocumentData {
  const { heads, parts } = input;
  const { valueDim, widths } = sizes;
  const dQueries = data.queries.map((query) => new Float64Array(query.length));
  const dKeys = data.keys.map((key) => new Float64Array(key.length));
  const dValues = new Float64Array(data.values.length);
  for (const view of views(input, sizes)) {
    const { row, head, first, query, key, value } = view;
    const { logits, slopes } = logitsOf(input, sizes, data, view);
    const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    const weights = logits.map((logit) => Math.exp(logit - largest) / sum);
    const out = (row * heads + head) * valueDim;
    const dWeights = weights.map((weight, i) => {
      let dot = 0;
      for (let v = 0; v < valueDim; v++) {
        dot += dOutput[out + v]! * data.values[value(first + i) + v]!;
        dValues[value(first + i) + v]! += weight * dOutput[out + v]!;
      }
      return dot;
    });
    const mean = weights.reduce((total, weight, i) => total + weight * dWeights[i]!, 0);
    for (let part = 0; part < parts.length; part++) {
      for (let n = first; n <= row; n++) {
        const i = n - first;
        const slope = weights[i]! * (dWeights[i]! - mean) * slopes[i]!;
        const [q, k] = [query(part), key(part, n)];
        for (let j = 0; j < widths[part]!; j++) {
          dQueries[part]![q + j]! += slope * data.keys[part]![k + j]!;
          dKeys[part]![k + j]! += slope * data.queries[part]![q + j]!;
        }
      }
    }
  }
  const single = (values: Float64Array) => Float32Array.from(values);
  return { queries: dQueries.map(single), keys: dKeys.map(single), values: single(dValues) };
}
