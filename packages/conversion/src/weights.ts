import { matrix, type Matrix } from "@transmla/low-rank";
import {
  attentionPrefix,
  type GroupedAttentionConfig,
  type LatentAttentionConfig,
} from "@transmla/models";
import type { Checkpoint } from "@transmla/tensor-io";
import { ConversionError } from "./errors";
import { behind, picking } from "./features";

/**
 * Weights of one grouped attention in float64. A bias goes through every rotation with its weights, so input projections are
 * augmented: the last column is the bias, `[out, hidden + 1]`, to be applied to `x~ = [x; 1]`. Where query and key heads are normalised,
 * the features of `OfFeatures` take the place of `x`.
 */
export interface GroupedWeights {
  /** `[heads * headDim, hidden + 1]` */
  readonly query: Matrix;
  /** `[kvHeads * headDim, hidden + 1]` */
  readonly key: Matrix;
  /** `[kvHeads * headDim, hidden + 1]` */
  readonly value: Matrix;
  /** `[hidden, heads * headDim + 1]` */
  readonly output: Matrix;
  readonly headNorms?: HeadNormWeights | undefined;
}

/** Queries and keys of an attention before and in the norms of their heads, which a conversion leaves as they are. */
interface HeadNormParts<Rows, Numbers> {
  /** `[heads * headDim, hidden + 1]` */
  readonly headQuery: Rows;
  /** `[kvHeads * headDim, hidden + 1]` */
  readonly headKey: Rows;
  /** `[headDim]` */
  readonly headQueryNorm: Numbers;
  /** `[headDim]` */
  readonly headKeyNorm: Numbers;
}

export type HeadNormWeights = HeadNormParts<Matrix, Float64Array>;

/** Weights of one latent attention, augmented likewise; a part of size zero is absent. With `config.headNorms` those of the heads are there. */
interface LatentParts<Rows, Numbers> extends Partial<HeadNormParts<Rows, Numbers>> {
  readonly config: LatentAttentionConfig;
  /** `[qLoraRank, hidden]`, not augmented: the bias enters after it. */
  readonly queryDown?: Rows | undefined;
  /** `[qLoraRank]` */
  readonly queryDownBias?: Numbers | undefined;
  /** Weights of the norm after it, `[qLoraRank]`, where the config has one. */
  readonly queryNorm?: Numbers | undefined;
  /** `[heads * nopeDim, input + 1]` */
  readonly queryNope?: Rows | undefined;
  /** `[heads * ropeDim, input + 1]` */
  readonly queryRope?: Rows | undefined;
  /** `[kvLoraRank, hidden + 1]` */
  readonly latent: Rows;
  /** What keys add to the latent where heads are normalised, `[kvLoraRank, kvHeads * headDim]`. */
  readonly keyLatent?: Rows | undefined;
  /** Weights of the latent's norm, `[kvLoraRank]`, where the config has one. */
  readonly latentNorm?: Numbers | undefined;
  /** `[ropeDim, hidden + 1]` */
  readonly ropeKey?: Rows | undefined;
  /** `[keyUpHeads * nopeDim, kvLoraRank]` */
  readonly keyUp?: Rows | undefined;
  /** `[valueUpHeads * valueDim, kvLoraRank]` */
  readonly valueUp: Rows;
  /** `[hidden, heads * valueDim + 1]` */
  readonly output: Rows;
}

/** A latent attention in float64, while it is made. */
export type LatentWeights = LatentParts<Matrix, Float64Array>;

/** A row-major matrix in float32. */
export interface SingleMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/**
 * A latent attention once it is made, in float32: half of what is the largest thing in memory, and the numbers that a resumed conversion
 * reads back are those that an uninterrupted one writes.
 */
export type WrittenWeights = LatentParts<SingleMatrix, Float32Array>;

export function inSinglePrecision({ config, ...parts }: LatentWeights): WrittenWeights {
  const single = Object.entries(parts).map(([name, part]) => [name, part && singleOf(part)]);
  return {
    ...(Object.fromEntries(single) as unknown as Omit<WrittenWeights, "config">),
    config,
  };
}

function singleOf(part: Matrix | Float64Array): SingleMatrix | Float32Array {
  return "rows" in part ? singleMatrix(part) : Float32Array.from(part);
}

/** The same numbers in float32. */
export function singleMatrix({ rows, columns, data }: Matrix): SingleMatrix {
  return { rows, columns, data: Float32Array.from(data) };
}

/** A tensor on its way into a checkpoint. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Reads one layer's attention. Throws `NonFiniteWeight` naming the tensor and the position. */
export async function readGroupedWeights(
  checkpoint: Checkpoint,
  config: GroupedAttentionConfig,
  layer: number,
): Promise<GroupedWeights> {
  const { heads, kvHeads, headDim } = config;
  const read = (name: string, rows: number) =>
    readAugmented(checkpoint, `${attentionPrefix(layer)}${name}`, rows);
  const query = await read("q_proj", heads * headDim);
  const key = await read("k_proj", kvHeads * headDim);
  const value = await read("v_proj", kvHeads * headDim);
  const output = await read(
    "o_proj",
    checkpoint.tensors.get(`${attentionPrefix(layer)}o_proj.weight`)!.shape[0],
  );
  if (config.headNormEpsilon === undefined) return { query, key, value, output };
  const norm = async (name: string) =>
    Float64Array.from(await readFinite(checkpoint, `${attentionPrefix(layer)}${name}.weight`));
  return {
    query: picking(query.rows, query.rows),
    key: picking(key.rows, key.rows + value.columns - 1),
    value: behind(key.rows, value),
    output,
    headNorms: {
      headQuery: query,
      headKey: key,
      headQueryNorm: await norm("q_norm"),
      headKeyNorm: await norm("k_norm"),
    },
  };
}

async function readAugmented(checkpoint: Checkpoint, name: string, rows: number): Promise<Matrix> {
  const weight = await readFinite(checkpoint, `${name}.weight`);
  const bias = checkpoint.tensors.has(`${name}.bias`)
    ? await readFinite(checkpoint, `${name}.bias`)
    : new Float32Array(rows);
  const columns = weight.length / rows;
  const augmented = matrix(rows, columns + 1);
  for (let row = 0; row < rows; row++) {
    augmented.data.set(weight.subarray(row * columns, (row + 1) * columns), row * (columns + 1));
    augmented.data[row * (columns + 1) + columns] = bias[row];
  }
  return augmented;
}

async function readFinite(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const values = await checkpoint.read(name, { as: "f32" });
  requireFinite(values, checkpoint.tensors.get(name)!);
  return values;
}

/**
 * Refuses NaN and infinity.
 *
 * @param offset index of the first value within its tensor
 * @throws ConversionError `NonFiniteWeight`
 */
export function requireFinite(
  values: Float32Array,
  { name, file }: { readonly name: string; readonly file: string },
  offset = 0,
): void {
  let bad = 0;
  while (bad < values.length && Number.isFinite(values[bad])) bad++;
  if (bad === values.length) return;
  const index = offset + bad;
  throw new ConversionError(
    "NonFiniteWeight",
    `${name} in ${file} holds ${values[bad]} at index ${index}; a damaged checkpoint cannot be converted.`,
    { tensor: name, file, index },
  );
}

/** The tensors of a latent attention, some of them views of it, under their native names, matching `attentionTensors` of `@transmla/models`. */
export function latentTensors(weights: WrittenWeights, prefix: string): NamedTensor[] {
  const { config } = weights;
  const tensors: NamedTensor[] = [];
  const add = (name: string, shape: readonly number[], values: Float32Array) =>
    tensors.push({ name: `${prefix}${name}`, shape, values });
  const plain = (name: string, m: SingleMatrix | undefined) => {
    if (m) add(`${name}.weight`, [m.rows, m.columns], m.data);
  };
  const augmented = (name: string, m: SingleMatrix | undefined, bias: boolean) => {
    if (!m) return;
    add(`${name}.weight`, [m.rows, m.columns - 1], withoutLastColumn(m));
    if (bias) add(`${name}.bias`, [m.rows], lastColumn(m));
  };
  const vector = (name: string, values: Float32Array | undefined) => {
    if (values) add(name, [values.length], values);
  };
  plain("q_a_proj", weights.queryDown);
  vector("q_a_proj.bias", weights.queryDownBias);
  vector("q_a_layernorm.weight", weights.queryNorm);
  const headBias = config.headNorms?.bias ?? false;
  augmented("q_proj", weights.headQuery, headBias);
  vector("q_norm.weight", weights.headQueryNorm);
  augmented("k_proj", weights.headKey, headBias);
  vector("k_norm.weight", weights.headKeyNorm);
  plain("kv_a_key_proj", weights.keyLatent);
  augmented("q_nope_proj", weights.queryNope, config.queryBias);
  augmented("q_rope_proj", weights.queryRope, config.queryBias);
  augmented("kv_a_proj", weights.latent, config.latentBias);
  augmented("k_rope_proj", weights.ropeKey, config.latentBias && !config.headNorms);
  vector("kv_a_layernorm.weight", weights.latentNorm);
  plain("k_b_proj", weights.keyUp);
  plain("v_b_proj", weights.valueUp);
  augmented("o_proj", weights.output, config.outputBias);
  return tensors;
}

function withoutLastColumn({ rows, columns, data }: SingleMatrix): Float32Array {
  const width = columns - 1;
  const values = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    values.set(data.subarray(row * columns, row * columns + width), row * width);
  }
  return values;
}

function lastColumn({ rows, columns, data }: SingleMatrix): Float32Array {
  return Float32Array.from({ length: rows }, (_, row) => data[(row + 1) * columns - 1]!);
}
