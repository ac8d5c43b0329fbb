import { encodeFromF32 } from "@transmla/tensor-io";

/** Encodes numbers as a GGUF tensor type. */
export function encodeBlocks(values, type) {
  if (type === "Q8_0") return encodeQ8(values);
  return type === "F32" ? new Uint8Array(values.buffer) : encodeFromF32(values, "F16");
}

const BLOCK = 32;
const BLOCK_BYTES = 34;

/** `x_i = d q_i` per block of 32, with a scale `d` in f16 before 32 signed bytes. */
function encodeQ8(values) {
  const blocks = values.length / BLOCK;
  const result = new Uint8Array(blocks * BLOCK_BYTES);
  const scales = Float32Array.from({ length: blocks }, (_, block) => largest(values, block) / 127);
  const halves = encodeFromF32(scales, "F16");
  for (let block = 0; block < blocks; block++) {
    const at = block * BLOCK_BYTES;
    result.set(halves.subarray(2 * block, 2 * block + 2), at);
    const inverse = scales[block] > 0 ? 1 / scales[block] : 0;
    for (let i = 0; i < BLOCK; i++) {
      // Stored in a byte array, a negative number becomes its two's complement.
      result[at + 2 + i] = Math.round(values[block * BLOCK + i] * inverse);
    }
  }
  return result;
}

function largest(values, block) {
  let most = 0;
  for (let i = block * BLOCK; i < (block + 1) * BLOCK; i++) {
    most = Math.max(most, Math.abs(values[i]));
  }
  return most;
}
