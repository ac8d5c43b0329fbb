import { decodeToF32, encodeFromF32, type Checkpoint, type TensorDType } from "@transmla/tensor-io";

/** Bytes of the source that are read at once. */
const PIECE_BYTES = 8 << 20;

/**
 * The values of a tensor as another element type, in pieces of whole rows; bytes as they are where the type stays.
 *
 * @throws TensorIoError `ValueNotRepresentable` naming tensor and index, and those of reading
 */
export async function* encodedPieces(
  checkpoint: Checkpoint,
  name: string,
  dtype: TensorDType,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const source = checkpoint.tensors.get(name)!;
  const rows = source.shape[0] ?? 1;
  const step = Math.max(1, Math.floor(PIECE_BYTES / (source.byteLength / rows)));
  for (let first = 0; first < rows; first += step) {
    signal?.throwIfAborted();
    const slice = { rows: [first, Math.min(rows, first + step)] as const, signal };
    const bytes = await checkpoint.readBytes(name, slice);
    yield source.dtype === dtype
      ? bytes
      : encodeFromF32(decodeToF32(bytes, source.dtype), dtype, { tensor: name });
  }
}

/** The same in one piece. */
export async function encodedTensor(
  ...args: Parameters<typeof encodedPieces>
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of encodedPieces(...args)) pieces.push(piece);
  if (pieces.length === 1) return pieces[0]!;
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
