import type { Device, RopeTable } from "@transmla/kernels";

/**
 * The rotary angles of one batch: a table per list of frequencies, whose row `t` belongs to token `t` of the batch. Made anew
 * for every batch (a few hundred numbers while decoding), in the scope that is open then, so nothing outlives the batch.
 */
export class Rotations {
  private readonly tables = new Map<Float64Array, RopeTable>();
  /** Rows of the tables, for `Device.rope`: `0, 1, 2, …`. */
  readonly rows: Int32Array;

  /**
   * @param positions position of every token of the batch, `[tokens]`
   * @param lists frequencies of the layers that will ask; layers that share a list share the table
   */
  constructor(
    private readonly device: Device,
    private readonly positions: Int32Array,
    lists: Iterable<Float64Array>,
  ) {
    this.rows = Int32Array.from(positions, (_, row) => row);
    for (const frequencies of new Set(lists)) {
      if (frequencies.length > 0) this.tables.set(frequencies, this.angles(frequencies));
    }
  }

  /** Angles `position * frequency` of one of the lists; nothing for an empty one. */
  table(frequencies: Float64Array): RopeTable | undefined {
    return this.tables.get(frequencies);
  }

  /** In float64, because a float32 product loses whole radians at long contexts. */
  private angles(frequencies: Float64Array): RopeTable {
    const shape = [this.positions.length, frequencies.length] as const;
    const cos = new Float32Array(shape[0] * shape[1]);
    const sin = new Float32Array(shape[0] * shape[1]);
    let i = 0;
    for (const position of this.positions) {
      for (const frequency of frequencies) {
        cos[i] = Math.cos(position * frequency);
        sin[i++] = Math.sin(position * frequency);
      }
    }
    return { cos: this.device.tensor(cos, shape), sin: this.device.tensor(sin, shape) };
  }
}
