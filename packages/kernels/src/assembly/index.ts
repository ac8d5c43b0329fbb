/**
 * The inner loops of the CPU device, compiled to one WebAssembly module. Every function works on pointers into a memory
 * that the device's allocator manages; nothing here allocates. Sizes are in numbers, strides in numbers unless they say
 * bytes. Matrices may be read up to 64 bytes beyond their end, which the allocator guarantees to exist.
 */
import { ATTENTION_BYTES } from "./attention";
import { LINEAR_BYTES } from "./linear";

export { loadRows, storeRows } from "./cache";
export { panelBytes, panelRows } from "./panels";
export { canCode, packRows, repack, unpackRow } from "./rows";
export { linear } from "./linear";
export { useWideVectors } from "./wide";
export { tileOfHalves, tileWithMinima, tileWithoutScales, tileWithScales } from "./integer-tile";
export { add, addScaled, argmax, gatedActivation, rmsNorm, rope, scale, softCap } from "./pointwise";
export { attend, joinStates } from "./attention";
export { segmentEnd } from "./segments";
export { packPanels, packTransposedPanels, product } from "./product";
export {
  attendDocuments,
  attendDocumentsBackward,
  documentScratchBytes,
  sumHeads,
} from "./document-attention";
export {
  adamW,
  addRows,
  columnSums,
  fill,
  gatedActivationBackward,
  rmsNormBackward,
  roundToBf16,
  softCapBackward,
  sumOfSquares,
} from "./gradients";
export { crossEntropy, divergence } from "./losses";

/** Bytes that any function needs at its last argument, `workspace`: one thread's room for intermediate blocks. */
export function workspaceBytes(): usize {
  return max(ATTENTION_BYTES, LINEAR_BYTES);
}
