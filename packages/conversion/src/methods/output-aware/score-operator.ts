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

/** One sequence of a fit. The weights of tokens behind a query must be 0: their logits are not all computed. */
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

/** Blocks that the measured queries of a sequence are cut into: with 4, five eighths of all pairs are computed; one half see each other. */
const BLOCKS = 4;

/** Consecutive measured queries of a sequence with the tokens up to the last of them, since none sees a later one. */
interface Block {
  readonly sequence: ScoreEquations;
  /** Rows `from … to - 1` of the sequence's measured queries. */
  readonly from: number;
  readonly to: number;
  /** Number of its first query among those of all sequences. */
  readonly first: number;
  /** Tokens. */
  readonly length: number;
  /** Rotated keys times `scale`, `[length, width]`, and their transpose. */
  readonly forward: Weight;
  readonly backward: Weight;
}

/** A row of a block's logits, `[heads, to - from, length]`: it begins at `at`, and at `start` in what its sequence says of it. */
interface LogitRow {
  readonly at: number;
  readonly start: number;
  /** Tokens. */
  readonly length: number;
}

/** Arrays that every pass uses again: made anew, their collection would take an eighth of a conversion's processor time. */
interface Arrays {
  /** Per head `[count, width]`: rotated queries, and afterwards what the logits say of them. */
  readonly queries: readonly Float32Array[];
  /** One head's part of these transposed, `[width, count]`. */
  readonly columns: Float32Array;
  /** Of the largest block, `[heads, to - from, width]`. */
  readonly rows: Float32Array;
  /** Of the largest block, `[heads, to - from, length]`. */
  readonly logits: Float32Array;
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
  private readonly blocks: readonly Block[];
  private readonly heads: readonly Head[];
  /** Of the measured queries of all sequences. */
  private readonly angles: Angles;
  /** Width of the keys and number of features. */
  readonly width: number;
  readonly features: number;
  /** Measured queries of all sequences. */
  readonly count: number;
  private readonly arrays: Arrays;

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
    this.blocks = sequences.flatMap((sequence) => {
      first += sequence.measured.length;
      return this.prepare(sequence, first - sequence.measured.length);
    });
    this.heads = Array.from({ length: shape.heads }, (_, i) => this.prepareHead(sequences, i));
    this.arrays = this.prepareArrays();
  }

  release(): void {
    for (const { forward, backward } of this.blocks) {
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
    const descent = await this.throughLogits(maps, ({ scores, weights }, logits, row) => {
      const { at, start, length } = row;
      for (let n = 0; n < length; n++) logits[at + n] = scores[start + n] - logits[at + n];
      loss += centre(logits, weights, row);
    });
    return { descent, loss: loss / (this.count * this.shape.heads) };
  }

  /** The normal operator on a direction. */
  normal(directions: readonly Matrix[]): Promise<Matrix[]> {
    return this.throughLogits(directions, ({ weights }, logits, row) => {
      centre(logits, weights, row);
    });
  }

  /** `adjoint(change(logits(maps)))`, averaged over the measured queries; `change` changes one row of logits in place. */
  private async throughLogits(
    maps: readonly Matrix[],
    change: (sequence: ScoreEquations, logits: Float32Array, row: LogitRow) => void,
  ): Promise<Matrix[]> {
    const queries: Float32Array[] = [];
    for (const [i, map] of maps.entries()) queries.push(await this.queries(i, map));
    for (const block of this.blocks) {
      const rows = this.rowsOf(block, queries);
      const size = (rows.length / this.width) * block.length;
      const logits = await this.product(rows, block.forward, this.arrays.logits.subarray(0, size));
      for (const row of this.logitRows(block)) change(block.sequence, logits, row);
      // What the logits were made from is not needed any more.
      this.putRows(block, queries, await this.product(logits, block.backward, rows));
    }
    const sums: Matrix[] = [];
    for (const [i, rows] of queries.entries()) sums.push(await this.share(i, rows));
    return sums;
  }

  private *logitRows({ sequence, from, to, length }: Block): Generator<LogitRow> {
    const { measured, positions } = sequence;
    let at = 0;
    for (let i = 0; i < this.shape.heads; i++) {
      for (let m = from; m < to; m++, at += length) {
        yield { at, start: (i * measured.length + m) * positions.length, length };
      }
    }
  }

  /** Rotated queries of a head at all measured tokens, `[count, width]`. */
  private async queries(head: number, map: Matrix): Promise<Float32Array> {
    const { device } = this;
    const weight = this.weight(Float32Array.from(map.data), map.rows, map.columns);
    const queries = device.linear(this.heads[head].features, weight);
    const values = await device.read(queries, this.arrays.queries[head]);
    device.release(queries);
    device.release(weight);
    rotateRows({ data: values, rows: this.count, columns: this.width }, this.angles);
    return values;
  }

  /** What a head's rows `[count, width]` say of its map: their products with the features, averaged. */
  private async share(head: number, rows: Float32Array): Promise<Matrix> {
    rotateRows({ data: rows, rows: this.count, columns: this.width }, this.angles, true);
    const columns = turned(rows, this.width, this.arrays.columns);
    const values = await this.product(columns, this.heads[head].transposed);
    const share = matrix(this.width, this.features, values);
    for (let at = 0; at < share.data.length; at++) share.data[at] /= this.count;
    return share;
  }

  /** The rows of one block, `[heads, to - from, width]`, from those of all. */
  private rowsOf({ first, from, to }: Block, heads: readonly Float32Array[]): Float32Array {
    const size = (to - from) * this.width;
    const start = first * this.width;
    const out = this.arrays.rows.subarray(0, heads.length * size);
    for (const [i, rows] of heads.entries()) out.set(rows.subarray(start, start + size), i * size);
    return out;
  }

  private putRows(
    { first, from, to }: Block,
    heads: readonly Float32Array[],
    values: Float32Array,
  ): void {
    const size = (to - from) * this.width;
    for (const [i, rows] of heads.entries()) {
      rows.set(values.subarray(i * size, (i + 1) * size), first * this.width);
    }
  }

  /** `rows weight^T`, written into `into` if given. */
  private async product(
    rows: Float32Array,
    weight: Weight,
    into?: Float32Array,
  ): Promise<Float32Array> {
    const { device } = this;
    const columns = weight.shape[1];
    const result = device.scope(() =>
      device.linear(device.tensor(rows, [rows.length / columns, columns]), weight),
    );
    const values = await device.read(result, into);
    device.release(result);
    return values;
  }

  /** The blocks of a sequence whose first measured query is the `first` of all. */
  private prepare(sequence: ScoreEquations, first: number): Block[] {
    const { keys, positions, measured } = sequence;
    const { frequencies, scale } = this.shape;
    const rotated = Float32Array.from(keys.data);
    for (let at = 0; at < rotated.length; at++) rotated[at] *= scale;
    rotateRows({ ...keys, data: rotated }, anglesOf(positions, frequencies));
    const step = Math.ceil(measured.length / BLOCKS);
    const blocks: Block[] = [];
    for (let from = 0; from < measured.length; from += step) {
      const to = Math.min(measured.length, from + step);
      const length = Math.max(...measured.subarray(from, to)) + 1;
      const seen = rotated.subarray(0, length * this.width);
      blocks.push({
        sequence,
        from,
        to,
        first: first + from,
        length,
        forward: this.weight(seen, length, this.width),
        backward: this.weight(turned(seen, this.width), this.width, length),
      });
    }
    return blocks;
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

  private prepareArrays(): Arrays {
    const { blocks, count, width } = this;
    const { heads } = this.shape;
    const most = (size: (block: Block) => number) => heads * Math.max(...blocks.map(size));
    return {
      queries: Array.from({ length: heads }, () => new Float32Array(count * width)),
      columns: new Float32Array(count * width),
      rows: new Float32Array(most(({ from, to }) => (to - from) * width)),
      logits: new Float32Array(most(({ from, to, length }) => (to - from) * length)),
    };
  }

  private weight(values: Float32Array, rows: number, columns: number): Weight {
    const weight = this.device.weight([rows, columns], "f32");
    const { buffer, byteOffset, byteLength } = values;
    this.device.writeRows(weight, 0, new Uint8Array(buffer, byteOffset, byteLength));
    return weight;
  }
}

/**
 * Replaces a row by `weight * (value - weighted mean)` and returns the weighted sum of squares. A constant on a whole row changes no
 * softmax.
 */
function centre(
  values: Float32Array,
  weights: Float32Array,
  { at, start, length }: LogitRow,
): number {
  let mean = 0;
  for (let n = 0; n < length; n++) mean += weights[start + n] * values[at + n];
  let squares = 0;
  for (let n = 0; n < length; n++) {
    const difference = values[at + n] - mean;
    const weighted = weights[start + n] * difference;
    squares += weighted * difference;
    values[at + n] = weighted;
  }
  return squares;
}
