import type { WeightStorage } from "../device";

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

  /** `count` numbers a weight storage represents exactly: their bytes, and what they mean. */
  stored(count: number, storage: WeightStorage): { bytes: Uint8Array; values: Float32Array } {
    const values = new Float32Array(count);
    const bytes = new Uint8Array(count * (storage === "f32" ? 4 : 2));
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < count; i++) {
      if (storage === "f16") {
        const sign = this.below(2);
        const exponent = this.below(15);
        const fraction = this.below(1024);
        view.setUint16(2 * i, (sign << 15) | (exponent << 10) | fraction, true);
        const magnitude =
          exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
        values[i] = sign ? -magnitude : magnitude;
        continue;
      }
      word.setFloat32(0, 2 * this.next() - 1);
      if (storage === "bf16") word.setUint16(2, 0);
      values[i] = word.getFloat32(0);
    }
    return { bytes: storage === "f16" ? bytes : encode(values, storage), values };
  }
}

const word = new DataView(new ArrayBuffer(4));

/** Little-endian bytes of numbers that the storage represents exactly. */
function encode(values: Float32Array, storage: "f32" | "bf16"): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, i) => view.setFloat32(4 * i, value, true));
  const all = new Uint8Array(view.buffer);
  return storage === "f32" ? all : all.filter((_, i) => i % 4 >= 2);
}
