/**
 * The inner loops of the CPU device, compiled to one WebAssembly module. Every function works on pointers into a memory
 * that the device's allocator manages; nothing here allocates. Sizes are in numbers, strides in numbers unless they say
 * bytes. Matrices may be read up to 64 bytes beyond their end, which the allocator guarantees to exist.
 */
export { packRows, unpackRow, repack } from "./panels";
export { linear, linearWorkspace } from "./linear";
export { add, addScaled, argmax, gatedActivation, rmsNorm, rope } from "./pointwise";
export { attend, attentionWorkspace, normaliseRows } from "./attention";
