import type { Device, Tensor, Weight } from "@transmla/kernels";
import { matrix, type Matrix } from "@transmla/low-rank";
import { turned } from "../../outer-products";
import {
  anglesOf,
  positionsOfMeasured,
  rotateRows,
  type Angles,
  type ScoreSample,
} from "./score-samples";

/** One sequence of a fit. */
export interface ScoreEquations extends ScoreSample {
  /** What the query of every head is made from, per head `[measured, features]`. */
  readonly features: readonly Matrix[];
  /** Converted keys, `[length, ropeDim + rank]`: the RoPE key, not rotated, and the latent. */
  readonly keys: Matrix;
}

/** Sizes of a converted attention's logits. */
export interface ScoreShape {
  readonly heads: number;
  readonly scale: number;
  /** Radians per position, `[ropeDim / 2]`. */
  readonly frequencies: Float64Array;
}

interface Prepared extends ScoreEquations {
  /** Of its measured queries among those of all sequences. */
  readonly first: number;
  /** Rotated keys times `scale`, `[length, width]`, and their transpose. */
  readonly forward: Weight;
  readonly backward: Weight;
}

/** The features of one head at the measured tokens of all sequences, `[count, features]`, and their transpose. */
interface Head {
  readonly features: Tensor;
  readonly transposed: Weight;
}

/**
 * The linear map from query maps `G_i [width, features]` to logits, `s_i,m,n = scale * rot_m(G_i f_i,m) . rot_n(k_n)`, with its adjoint
 * in the inner product of a row's weighted, centred logits. All products run on a device, in float32.
 */
export class ScoreOperator {
  private readonly prepared: readonly Prepared[];
  private readonly heads: readonly Head[];
  /** Of the measured queries of all sequences. */
  private readonly angles: Angles;
  /** Width of the keys and number of features. */
  readonly width: number;
  readonly features: number;
  /** Measured queries of all sequences. */
  readonly count: number;

  constructor(
    private readonly device: Device,
    private readonly shape: ScoreShape,
    sequences: readonly ScoreEquations[],
  ) {
    this.width = sequences[0].keys.columns;
    this.features = sequences[0].features[0].columns;
    this.count = sequences.reduce((sum, { measured }) => sum + measured.length, 0);
    const positions = sequences.flatMap((sequence) => [...positionsOfMeasured(sequence)]);
    this.angles = anglesOf(Int32Array.from(positions), shape.frequencies);
    let first = 0;
    this.prepared = sequences.map((sequence) => {
      first += sequence.measured.length;
      return this.prepare(sequence, first - sequence.measured.length);
    });
    this.heads = Array.from({ length: shape.heads }, (_, i) => this.prepareHead(sequences, i));
  }

  release(): void {
    for (const { forward, backward } of this.prepared) {
      this.device.release(forward);
      this.device.release(backward);
    }
    for (const { features, transposed } of this.heads) {
      this.device.release(features);
      this.device.release(transposed);
    }
  }

  /** Gradient at `maps` of half the weighted, centred square distance from the original's scores, with the sign of descent. */
  async descent(maps: readonly Matrix[]): Promise<{ descent: Matrix[]; loss: number }> {
    let loss = 0;
    const descent = await this.throughLogits(maps, ({ scores, weights, positions }, logits) => {
      for (let at = 0; at < logits.length; at++) logits[at] = scores[at] - logits[at];
      loss += centre(logits, weights, positions.length);
    });
    return { descent, loss: loss / (this.count * this.shape.heads) };
  }

  /** The normal operator on a direction. */
  normal(directions: readonly Matrix[]): Promise<Matrix[]> {
    return this.throughLogits(directions, ({ weights, positions }, logits) => {
      centre(logits, weights, positions.length);
    });
  }

  /** `adjoint(change(logits(maps)))`, averaged over the measured queries. */
  private async throughLogits(
    maps: readonly Matrix[],
    change: (sequence: Prepared, logits: Float32Array) => void,
  ): Promise<Matrix[]> {
    const queries: Float32Array[] = [];
    for (const [i, map] of maps.entries()) queries.push(await this.queries(i, map));
    for (const sequence of this.prepared) {
      const logits = await this.product(this.rowsOf(sequence, queries), sequence.forward);
      change(sequence, logits);
      const back = await this.product(logits, sequence.backward);
      // What the logits were made from is not needed any more.
      this.putRows(sequence, queries, back);
    }
    const sums: Matrix[] = [];
    for (const [i, rows] of queries.entries()) sums.push(await this.share(i, rows));
    return sums;
  }

  /** Rotated queries of a head at all measured tokens, `[count, width]`. */
  private async queries(head: number, map: Matrix): Promise<Float32Array> {
    const { device } = this;
    const weight = this.weight(Float32Array.from(map.data), map.rows, map.columns);
    const queries = device.linear(this.heads[head].features, weight);
    const values = await device.read(queries);
    device.release(queries);
    device.release(weight);
    rotateRows({ data: values, rows: this.count, columns: this.width }, this.angles);
    return values;
  }

  /** What a head's rows `[count, width]` say of its map: their products with the features, averaged. */
  private async share(head: number, rows: Float32Array): Promise<Matrix> {
    rotateRows({ data: rows, rows: this.count, columns: this.width }, this.angles, true);
    const values = await this.product(turned(rows, this.width), this.heads[head].transposed);
    const share = matrix(this.width, this.features, values);
    for (let at = 0; at < share.data.length; at++) share.data[at] /= this.count;
    return share;
  }

  /** The rows of one sequence, `[heads, measured, width]`, from those of all. */
  private rowsOf({ first, measured }: Prepared, heads: readonly Float32Array[]): Float32Array {
    const size = measured.length * this.width;
    const out = new Float32Array(heads.length * size);
    const start = first * this.width;
    for (const [i, rows] of heads.entries()) out.set(rows.subarray(start, start + size), i * size);
    return out;
  }

  private putRows(
    { first, measured }: Prepared,
    heads: readonly Float32Array[],
    values: Float32Array,
  ): void {
    const size = measured.length * this.width;
    for (const [i, rows] of heads.entries()) {
      rows.set(values.subarray(i * size, (i + 1) * size), first * this.width);
    }
  }

  /** `rows weight^T` */
  private async product(rows: Float32Array, weight: Weight): Promise<Float32Array> {
    const { device } = this;
    const columns = weight.shape[1];
    const result = device.scope(() =>
      device.linear(device.tensor(rows, [rows.length / columns, columns]), weight),
    );
    const values = await device.read(result);
    device.release(result);
    return values;
  }

  private prepare(sequence: ScoreEquations, first: number): Prepared {
    const { keys, positions } = sequence;
    const length = positions.length;
    const { frequencies, scale } = this.shape;
    const rotated = Float32Array.from(keys.data);
    for (let at = 0; at < rotated.length; at++) rotated[at] *= scale;
    rotateRows({ ...keys, data: rotated }, anglesOf(positions, frequencies));
    return {
      ...sequence,
      first,
      forward: this.weight(rotated, length, keys.columns),
      backward: this.weight(turned(rotated, keys.columns), keys.columns, length),
    };
  }

  private prepareHead(sequences: readonly ScoreEquations[], head: number): Head {
    const { count, features } = this;
    const rows = new Float32Array(count * features);
    let at = 0;
    for (const { data } of sequences.map((sequence) => sequence.features[head])) {
      rows.set(data, at);
      at += data.length;
    }
    return {
      features: this.device.tensor(rows, [count, features]),
      transposed: this.weight(turned(rows, features), features, count),
    };
  }

  private weight(values: Float32Array, rows: number, columns: number): Weight {
    const weight = this.device.weight([rows, columns], "f32");
    this.device.writeRows(weight, 0, new Uint8Array(values.buffer));
    return weight;
  }
}

/**
 * Replaces every row by `weight * (value - weighted mean)` and returns the weighted sum of squares. A constant on a whole row
 * changes no softmax.
 */
function centre(values: Float32Array, weights: Float32Array, length: number): number {
  let squares = 0;
  for (let start = 0; start < values.length; start += length) {
    let mean = 0;
    for (let at = start; at < start + length; at++) mean += weights[at] * values[at];
    for (let at = start; at < start + length; at++) {
      const difference = values[at] - mean;
      const weighted = weights[at] * difference;
      squares += weighted * difference;
      values[at] = weighted;
    }
  }
  return squares;
}
