import type { WeightStorage } from "./device";
import { KernelsError } from "./errors";

/** Bytes of one number in a weight storage. Throws `UnsupportedStorage`. */
export function bytesPerNumber(storage: WeightStorage): number {
  switch (storage) {
    case "f32":
      return 4;
    case "f16":
    case "bf16":
      return 2;
    default:
      throw new KernelsError(
        "UnsupportedStorage",
        `Weights of storage "${String(storage)}" are not supported; use "f32", "f16" or "bf16".`,
        { storage },
      );
  }
}

/** Reads little-endian numbers of a weight storage as float32. `bytes` may start at any offset of its buffer. */
export function decodeNumbers(bytes: Uint8Array, storage: WeightStorage): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(bytes.byteLength / bytesPerNumber(storage));
  for (let i = 0; i < values.length; i++) {
    if (storage === "f32") values[i] = view.getFloat32(4 * i, true);
    else if (storage === "f16") values[i] = float16(view.getUint16(2 * i, true));
    else values[i] = bfloat16(view.getUint16(2 * i, true));
  }
  return values;
}

/** IEEE 754 binary16: sign, 5 bits of exponent (bias 15), 10 bits of fraction. */
function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const word = new DataView(new ArrayBuffer(4));

/** The upper half of a float32. */
function bfloat16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}
