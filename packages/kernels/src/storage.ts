import { blockFormats, type BlockStorage } from "./blocks";
import type { WeightStorage } from "./device";
import { KernelsError } from "./errors";
import { bfloat16, float16 } from "./half";

/** Every storage a weight can have. */
export const weightStorages: readonly WeightStorage[] = [
  "f32",
  "f16",
  "bf16",
  "i8",
  ...(Object.keys(blockFormats) as BlockStorage[]),
];

/** Numbers per block: a row is a multiple of it. 1 where there are no blocks. Throws `UnsupportedStorage`. */
export function blockNumbers(storage: WeightStorage): number {
  const plain = storage === "f32" || storage === "f16" || storage === "bf16" || storage === "i8";
  return plain ? 1 : formatOf(storage).numbers;
}

/** Bytes of one row of `columns` numbers. Throws `UnsupportedStorage`, `ShapeMismatch` if blocks do not divide it. */
export function rowBytes(storage: WeightStorage, columns: number): number {
  switch (storage) {
    case "f32":
      return 4 * columns;
    case "f16":
    case "bf16":
      return 2 * columns;
    case "i8":
      return 4 + columns;
    default: {
      const { numbers, bytes } = formatOf(storage);
      if (columns % numbers !== 0) {
        throw new KernelsError(
          "ShapeMismatch",
          `Rows of ${columns} numbers cannot be stored as ${storage}, whose blocks hold ${numbers}.`,
          { columns, storage, blockNumbers: numbers },
        );
      }
      return (columns / numbers) * bytes;
    }
  }
}

/**
 * Reads rows of `columns` little-endian numbers of a weight storage as float32. `bytes` may start at any offset of its
 * buffer. Throws like `rowBytes`.
 */
export function decodeRows(
  bytes: Uint8Array,
  storage: WeightStorage,
  columns: number,
): Float32Array {
  const rows = bytes.byteLength / rowBytes(storage, columns);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(rows * columns);
  if (storage === "f32" || storage === "f16" || storage === "bf16") {
    for (let i = 0; i < values.length; i++) {
      if (storage === "f32") values[i] = view.getFloat32(4 * i, true);
      else if (storage === "f16") values[i] = float16(view.getUint16(2 * i, true));
      else values[i] = bfloat16(view.getUint16(2 * i, true));
    }
  } else if (storage === "i8") {
    for (let row = 0; row < rows; row++) {
      const at = row * (4 + columns);
      const scale = view.getFloat32(at, true);
      for (let k = 0; k < columns; k++) {
        values[row * columns + k] = scale * view.getInt8(at + 4 + k);
      }
    }
  } else {
    const { numbers, bytes: size, decode } = blockFormats[storage];
    for (let block = 0; block < values.length / numbers; block++) {
      const out = values.subarray(block * numbers, (block + 1) * numbers);
      decode(new DataView(bytes.buffer, bytes.byteOffset + block * size, size), out);
    }
  }
  return values;
}

function formatOf(storage: BlockStorage) {
  if (Object.hasOwn(blockFormats, storage)) return blockFormats[storage];
  throw new KernelsError(
    "UnsupportedStorage",
    `Weights of storage "${String(storage)}" are not supported; use one of ${weightStorages.join(", ")}.`,
    { storage },
  );
}
