import type {
  Activation,
  MixtureOfExperts,
  PageLayout,
  PagePool,
  RopeTable,
  Shape,
  Tensor,
  Weight,
  WeightStorage,
} from "../device";
import {
  cacheStorageOf,
  cacheStorages,
  storedRowBytes,
  WIDEST_CONVERTED_ROW,
} from "../cache-storage";
import { checkRouting } from "../routing";
import { rowBytes } from "../storage";
import {
  ensure,
  ensureActivation,
  ensureCount,
  ensureIndices,
  ensureShape,
  ensureSize,
} from "./ensure";

// Memory -------------------------------------------------------------------------------------------------------------

/** Throws `InvalidArgument` unless both sizes are whole numbers of at least 1. */
export function checkShape(shape: Shape): void {
  ensureCount("rows", shape[0]);
  ensureCount("columns", shape[1]);
}

/** For `Device.tensor`. Throws `InvalidArgument`, `ShapeMismatch`. */
export function checkTensor(values: Float32Array, shape: Shape): void {
  checkShape(shape);
  ensureSize("values.length", values.length, shape[0] * shape[1]);
}

/** For `Device.read`: returns the array that the numbers go to. Throws `ShapeMismatch`. */
export function checkRead(
  { shape }: Tensor,
  into: Float32Array = new Float32Array(shape[0] * shape[1]),
): Float32Array {
  ensureSize("into.length", into.length, shape[0] * shape[1]);
  return into;
}

/** For `Device.weight`. Throws `InvalidArgument`, `UnsupportedStorage`, `ShapeMismatch`. */
export function checkWeight(shape: Shape, storage: WeightStorage): void {
  checkShape(shape);
  rowBytes(storage, shape[1]);
}

/** For `Device.writeRows`: returns the number of rows in `bytes`. Throws `ShapeMismatch`. */
export function checkWriteRows(weight: Weight, first: number, bytes: Uint8Array): number {
  const size = rowBytes(weight.storage, weight.shape[1]);
  const rows = bytes.byteLength / size;
  ensure(
    Number.isInteger(rows),
    "ShapeMismatch",
    () => `${bytes.byteLength} bytes are no whole rows of ${size} bytes.`,
    { bytes: bytes.byteLength, rowBytes: size },
  );
  ensure(
    Number.isInteger(first) && first >= 0 && first + rows <= weight.shape[0],
    "ShapeMismatch",
    () => `Rows ${first} to ${first + rows - 1} do not fit a weight of ${weight.shape[0]} rows.`,
    { first, rows, weightRows: weight.shape[0] },
  );
  return rows;
}

/** For `Device.pagePool`. Throws `InvalidArgument`, `UnsupportedStorage`. */
export function checkPageLayout(layout: PageLayout): void {
  ensureCount("pages", layout.pages);
  ensureCount("pageTokens", layout.pageTokens);
  ensureCount("width", layout.width);
  const storage = cacheStorageOf(layout);
  ensure(
    cacheStorages.includes(storage),
    "UnsupportedStorage",
    () =>
      `Caches of storage "${String(storage)}" are not supported; use ${cacheStorages.join(", ")}.`,
    { storage },
  );
  ensure(
    storage === "f32" || layout.width <= WIDEST_CONVERTED_ROW,
    "InvalidArgument",
    () =>
      `Rows of ${storage} may have ${WIDEST_CONVERTED_ROW} numbers, not ${layout.width}; use f32.`,
    { storage, width: layout.width },
  );
}

// Operations ---------------------------------------------------------------------------------------------------------

/** For `Device.embedding`. Throws `InvalidArgument` without ids or for a factor that is no number, `IndexOutOfRange`. */
export function checkEmbedding(table: Weight, ids: Int32Array, factor: number): void {
  ensureCount("ids.length", ids.length);
  ensure(
    Number.isFinite(factor),
    "InvalidArgument",
    () => `factor must be a finite number, got ${factor}.`,
    { factor },
  );
  ensureIndices("ids", ids, table.shape[0]);
}

/** For `Device.linear`. Throws `ShapeMismatch`. */
export function checkLinear(x: Tensor, weight: Weight, bias?: Tensor): void {
  ensureSize("columns of x", x.shape[1], weight.shape[1]);
  if (bias) ensureShape("bias", bias.shape, [1, weight.shape[0]]);
}

/** For `Device.add`. Throws `ShapeMismatch`. */
export function checkAdd(a: Tensor, b: Tensor): void {
  ensureShape("b", b.shape, a.shape);
}

/** For `Device.gatherRows`. Throws `InvalidArgument` without rows, `IndexOutOfRange`. */
export function checkGatherRows(x: Tensor, rows: Int32Array): void {
  ensureCount("rows.length", rows.length);
  ensureIndices("rows", rows, x.shape[0]);
}

/** For `Device.rmsNorm`. Throws `ShapeMismatch`, `InvalidArgument` for a negative epsilon. */
export function checkRmsNorm(x: Tensor, weight: Tensor, epsilon: number): void {
  ensureSize("rows of weight", weight.shape[0], 1);
  ensure(
    x.shape[1] % weight.shape[1] === 0,
    "ShapeMismatch",
    () => `x has ${x.shape[1]} columns, no multiple of the norm's width ${weight.shape[1]}.`,
    { columns: x.shape[1], width: weight.shape[1] },
  );
  ensure(epsilon >= 0, "InvalidArgument", () => `epsilon must not be negative, got ${epsilon}.`, {
    epsilon,
  });
}

/** For `Device.gatedActivation`. Throws `InvalidArgument`, `ShapeMismatch`. */
export function checkGatedActivation(gate: Tensor, up: Tensor, activation: Activation): void {
  ensureActivation(activation);
  ensureShape("up", up.shape, gate.shape);
}

/** For `Device.rope`. Throws `ShapeMismatch`, `IndexOutOfRange`. */
export function checkRope(x: Tensor, table: RopeTable, positions: Int32Array): void {
  ensureShape("table.sin", table.sin.shape, table.cos.shape);
  const ropeDim = 2 * table.cos.shape[1];
  ensure(
    x.shape[1] % ropeDim === 0,
    "ShapeMismatch",
    () => `x has ${x.shape[1]} columns, no multiple of the table's ropeDim ${ropeDim}.`,
    { columns: x.shape[1], ropeDim },
  );
  ensureSize("positions.length", positions.length, x.shape[0]);
  ensureIndices("positions", positions, table.cos.shape[0]);
}

/** For `Device.writePages`. Throws `ShapeMismatch`, `IndexOutOfRange`. */
export function checkWritePages(pool: PagePool, rows: Tensor, slots: Int32Array): void {
  ensureSize("columns of rows", rows.shape[1], pool.width);
  ensureSize("slots.length", slots.length, rows.shape[0]);
  ensureIndices("slots", slots, pool.pages * pool.pageTokens);
}

/** For `Device.readPages`. Throws `InvalidArgument` without slots, `IndexOutOfRange`. */
export function checkReadPages(pool: PagePool, slots: Int32Array): void {
  ensureCount("slots.length", slots.length);
  ensureIndices("slots", slots, pool.pages * pool.pageTokens);
}

/** For `Device.copyPages`. Throws `ShapeMismatch`, `IndexOutOfRange`. */
export function checkCopyPages(pool: PagePool, from: Int32Array, to: Int32Array): void {
  ensureSize("to.length", to.length, from.length);
  ensureIndices("from", from, pool.pages * pool.pageTokens);
  ensureIndices("to", to, pool.pages * pool.pageTokens);
}

/** For `Device.writeStoredPages`. Throws `ShapeMismatch`, `IndexOutOfRange`. */
export function checkWriteStoredPages(pool: PagePool, slots: Int32Array, bytes: Uint8Array): void {
  ensureSize("bytes.length", bytes.length, slots.length * storedRowBytes(pool.storage, pool.width));
  ensureIndices("slots", slots, pool.pages * pool.pageTokens);
}

/** For `Device.mixtureOfExperts`: returns the width of the experts' inner layer. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkMixtureOfExperts(input: MixtureOfExperts): { ff: number } {
  const { x, routerLogits, experts, topK, activation, routing } = input;
  const [tokens, hidden] = x.shape;
  ensureActivation(activation);
  ensureCount("experts.length", experts.length);
  ensureShape("routerLogits", routerLogits.shape, [tokens, experts.length]);
  ensureCount("topK", topK);
  ensure(
    topK <= experts.length,
    "InvalidArgument",
    () => `topK is ${topK}, but there are ${experts.length} experts.`,
    { topK, experts: experts.length },
  );
  if (routing) checkRouting(routing, experts.length, topK);
  const ff = experts[0]!.gate.shape[0];
  ensureSize("columns of experts[0].gate", experts[0]!.gate.shape[1], hidden);
  experts.forEach((expert, e) => {
    ensureShape(`experts[${e}].gate`, expert.gate.shape, [ff, hidden]);
    ensureShape(`experts[${e}].up`, expert.up.shape, [ff, hidden]);
    ensureShape(`experts[${e}].down`, expert.down.shape, [hidden, ff]);
  });
  return { ff };
}

/** A soft cap, of `Device.softCap` or of an attention. Throws `InvalidArgument` unless positive and finite. */
export function checkSoftCap(softCap: number): void {
  ensure(
    softCap > 0 && Number.isFinite(softCap),
    "InvalidArgument",
    () => `A soft cap must be a positive finite number, got ${softCap}.`,
    { softCap },
  );
}

/** What a machine is said to do: numbers per second. */
export function checkLimits(limits: { bandwidth: number; gemm: number } | undefined): void {
  const { bandwidth, gemm } = limits ?? { bandwidth: 1, gemm: 1 };
  ensure(
    bandwidth > 0 && gemm > 0,
    "InvalidArgument",
    () => `limits must be positive, got bandwidth ${bandwidth} and gemm ${gemm}.`,
    { bandwidth, gemm },
  );
}

/** `memoryLimit` of a device, in bytes. */
export function checkMemoryLimit(memoryLimit: number): void {
  ensure(
    memoryLimit >= 2 ** 20,
    "InvalidArgument",
    () => `memoryLimit must be at least 1 MiB (1048576 bytes), got ${memoryLimit}.`,
    { memoryLimit },
  );
}

/** `threads` of a device. Throws `InvalidArgument`. */
export function checkThreads(threads: number): void {
  ensure(
    Number.isInteger(threads) && threads >= 1 && threads <= 64,
    "InvalidArgument",
    () => `threads must be a whole number from 1 to 64, got ${threads}.`,
    { threads },
  );
}
