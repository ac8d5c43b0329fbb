import type { Shape, WeightStorage } from "../device";
import { blockNumbers, decodeRows, rowBytes } from "../storage";

/** Deterministic random numbers (Mulberry32), so that a failure can be repeated. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in `0 … 1`, 1 excluded. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Whole number in `0 … limit - 1`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** `count` float32 numbers, uniform in `-amplitude … amplitude`. */
  floats(count: number, amplitude = 1): Float32Array {
    return Float32Array.from({ length: count }, () => (2 * this.next() - 1) * amplitude);
  }

  /** Whole numbers in `0 … limit - 1`, repeats allowed. */
  indices(count: number, limit: number): Int32Array {
    return Int32Array.from({ length: count }, () => this.below(limit));
  }

  /** `0 … count - 1` in random order. */
  permutation(count: number): number[] {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }

  /** A random matrix of a weight storage: its bytes, and what they mean. Blocks must divide its columns. */
  stored(
    [rows, columns]: Shape,
    storage: WeightStorage,
  ): { bytes: Uint8Array; values: Float32Array } {
    const bytes = Uint8Array.from({ length: rows * rowBytes(storage, columns) }, () =>
      this.below(256),
    );
    const view = new DataView(bytes.buffer);
    if (storage === "f32" || storage === "bf16") {
      for (let i = 0; i < rows * columns; i++) {
        word.setFloat32(0, 2 * this.next() - 1);
        if (storage === "f32") view.setUint32(4 * i, word.getUint32(0), true);
        else view.setUint16(2 * i, word.getUint16(0), true);
      }
    } else if (storage === "f16") {
      for (let i = 0; i < rows * columns; i++) view.setUint16(2 * i, this.#half(15, true), true);
    } else if (storage === "i8") {
      for (let row = 0; row < rows; row++) {
        view.setFloat32(row * (4 + columns), (1 + this.next()) / 128, true);
      }
    } else {
      const bytesPerBlock = (rowBytes(storage, columns) * blockNumbers(storage)) / columns;
      for (let block = 0; block < bytes.length; block += bytesPerBlock) {
        for (const at of scalePlaces[storage]) view.setUint16(block + at, this.#half(12), true);
      }
    }
    return { bytes, values: decodeRows(bytes, storage, columns) };
  }

  /** Bits of a random binary16 number below `2^(exponents - 15)`, subnormals included. */
  #half(exponents: number, signed = false): number {
    const sign = signed ? this.below(2) : 0;
    return (sign << 15) | (this.below(exponents) << 10) | this.below(1024);
  }
}

/** Where blocks have numbers of 16 bits. */
const scalePlaces = { q8_0: [0], q4_0: [0], q4_1: [0, 2], q4_k: [0, 2], q6_k: [208] } as const;

const word = new DataView(new ArrayBuffer(4));
