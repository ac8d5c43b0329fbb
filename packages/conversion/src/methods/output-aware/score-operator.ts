import type { Device, Weight } from "@transmla/kernels";
import {
  matrix,
  multiplyTransposedLeft,
  multiplyTransposedRight,
  type Matrix,
} from "@transmla/low-rank";
import { anglesOf, rotateRows, type Angles, type ScoreSample } from "./score-samples";

/** One sequence of a fit. */
export interface ScoreEquations extends ScoreSample {
  /** What the query of every head is made from, per head `[positions, features]`. */
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
  /** Of the query positions. */
  readonly angles: Angles;
  /** Rotated keys times `scale`, `[length, width]`, and their transpose. */
  readonly forward: Weight;
  readonly backward: Weight;
}

/**
 * The linear map from query maps `G_i [width, features]` to logits, `s_i,m,n = scale * rot_m(G_i f_i,m) . rot_n(k_n)`, with its adjoint
 * in the inner product of a row's weighted, centred logits. The products with keys, by far the largest, run on a device.
 */
export class ScoreOperator {
  private readonly prepared: readonly Prepared[];
  /** Width of the keys and number of features. */
  readonly width: number;
  readonly features: number;
  /** Query positions over all sequences. */
  readonly count: number;

  constructor(
    private readonly device: Device,
    private readonly shape: ScoreShape,
    sequences: readonly ScoreEquations[],
  ) {
    this.width = sequences[0].keys.columns;
    this.features = sequences[0].features[0].columns;
    this.count = sequences.reduce((sum, { positions }) => sum + positions.length, 0);
    this.prepared = sequences.map((sequence) => this.prepare(sequence));
  }

  release(): void {
    for (const { forward, backward } of this.prepared) {
      this.device.release(forward);
      this.device.release(backward);
    }
  }

  /** Gradient at `maps` of half the weighted, centred square distance from the original's scores, with the sign of descent. */
  async descent(maps: readonly Matrix[]): Promise<{ descent: Matrix[]; loss: number }> {
    let loss = 0;
    const descent = await this.eachSequence(maps, ({ scores, weights, length }, logits) => {
      for (let at = 0; at < logits.length; at++) logits[at] = scores[at] - logits[at];
      loss += centre(logits, weights, length);
    });
    return { descent, loss: loss / (this.count * this.shape.heads) };
  }

  /** The normal operator on a direction. */
  normal(directions: readonly Matrix[]): Promise<Matrix[]> {
    return this.eachSequence(directions, ({ weights, length }, logits) => {
      centre(logits, weights, length);
    });
  }

  /** `adjoint(change(logits(maps)))`, averaged over query positions. */
  private async eachSequence(
    maps: readonly Matrix[],
    change: (sequence: Prepared, logits: Float32Array) => void,
  ): Promise<Matrix[]> {
    const { heads } = this.shape;
    const sums = maps.map(() => matrix(this.width, this.features));
    for (const sequence of this.prepared) {
      const rows = sequence.positions.length;
      const queries = new Float32Array(heads * rows * this.width);
      for (const [i, map] of maps.entries()) {
        const query = multiplyTransposedRight(sequence.features[i], map);
        rotateRows(query, sequence.angles);
        queries.set(query.data, i * rows * this.width);
      }
      const logits = await this.product(queries, sequence.forward);
      change(sequence, logits);
      const back = await this.product(logits, sequence.backward);
      for (const [i, sum] of sums.entries()) {
        const start = i * rows * this.width;
        const query = matrix(rows, this.width, back.subarray(start, start + rows * this.width));
        rotateRows(query, sequence.angles, true);
        const share = multiplyTransposedLeft(query, sequence.features[i]).data;
        for (let at = 0; at < share.length; at++) sum.data[at] += share[at] / this.count;
      }
    }
    return sums;
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

  private prepare(sequence: ScoreEquations): Prepared {
    const { keys, length } = sequence;
    const { frequencies, scale } = this.shape;
    const rotated = matrix(
      length,
      keys.columns,
      keys.data.map((value) => scale * value),
    );
    const everywhere = Int32Array.from({ length }, (_, n) => n);
    rotateRows(rotated, anglesOf(everywhere, frequencies));
    const transposed = new Float32Array(rotated.data.length);
    for (let n = 0; n < length; n++) {
      for (let j = 0; j < keys.columns; j++) {
        transposed[j * length + n] = rotated.data[n * keys.columns + j];
      }
    }
    return {
      ...sequence,
      angles: anglesOf(sequence.positions, frequencies),
      forward: this.weight(Float32Array.from(rotated.data), length, keys.columns),
      backward: this.weight(transposed, keys.columns, length),
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
