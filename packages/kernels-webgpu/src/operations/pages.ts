import { deviceKit, type CacheStorage, type PagePool } from "@transmla/kernels";
import { cacheFormats, poolBytes, poolReader, rowQuads } from "../formats/cache-formats";
import type { Block } from "../runtime/buffer-pool";
import type { Gpu } from "../runtime/gpu";
import { readBlock } from "../runtime/read-back";
import { HALVES, ROUNDING } from "../wgsl/halves";
import { reads, writes, type Kernel } from "../wgsl/kernel";
import { rowElement, rowReader } from "../wgsl/rows";
import { eachKernel, gridOfEach } from "./pointwise";

/** Slot of a row that a later row of the same call replaces. */
const REPLACED = -1;

/** Writes rows of a tensor into a pool, rounded to its storage. */
export function writePages(
  gpu: Gpu,
  pool: PagePool,
  plane: Block,
  rows: Block,
  slots: Int32Array,
): void {
  const { storage, width, pages, pageTokens } = pool;
  const quads = rowQuads(width);
  const aligned = width % 4 === 0;
  const last = lastOfEach(slots);
  gpu.recorder.prepare(last.length, 1);
  const at = gpu.recorder.integers(last);
  const key = `write-pages/${storage}/${aligned}`;
  const params = [slots.length * quads, at, width, quads, pages * pageTokens];
  if (cacheFormats[storage].scaled) {
    const make = () => scaledWrite(storage, aligned);
    gpu.run(key, make, params, [rows, plane], { count: slots.length });
  } else {
    const make = () => plainWrite(storage, aligned);
    gpu.run(key, make, params, [rows, plane], gridOfEach(params[0]!));
  }
}

/** Of rows for one slot only the last is written, because invocations have no order. */
function lastOfEach(slots: Int32Array): Int32Array {
  if (new Set(slots).size === slots.length) return slots;
  const seen = new Set<number>();
  const last = slots.slice();
  for (let t = last.length - 1; t >= 0; t--) {
    if (seen.has(slots[t]!)) last[t] = REPLACED;
    seen.add(slots[t]!);
  }
  return last;
}

const writeParams = { slots: "u32", width: "u32", quads: "u32", poolRows: "u32" } as const;

function writeFrame(storage: CacheStorage, aligned: boolean) {
  return {
    name: `write pages ${storage}`,
    buffers: {
      rows: reads(rowElement(aligned)),
      plane: writes(cacheFormats[storage].element),
      host: reads("u32"),
    },
    declarations: ROUNDING + rowReader("rows", "params.width", aligned),
  };
}

function plainWrite(storage: CacheStorage, aligned: boolean): Kernel {
  return eachKernel({
    ...writeFrame(storage, aligned),
    params: writeParams,
    body: /* wgsl */ `
  let slot = host[params.slots + i / params.quads];
  if (slot == 0xffffffffu) { return; }
  let x = rows_quad(i / params.quads, i % params.quads);
  plane[slot * params.quads + i % params.quads] = ${cacheFormats[storage].encode};`,
  });
}

/** One workgroup per row, which finds the largest number first. A row that is not finite has a scale that is not. */
function scaledWrite(storage: CacheStorage, aligned: boolean): Kernel {
  const workgroup = 64;
  return {
    ...writeFrame(storage, aligned),
    params: { count: "u32", ...writeParams },
    workgroup,
    declarations: `${writeFrame(storage, aligned).declarations}
var<workgroup> largest: array<u32, ${workgroup}>;
fn magnitude(x: vec4<f32>) -> u32 {
  let bits = bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}
fn rounded(x: f32, scale: f32) -> u32 {
  if (scale == 0.0 || !isFinite(scale)) { return 0u; }
  let steps = i32(min(round(divide(abs(x), scale)), 127.0));
  return bitcast<u32>(select(steps, -steps, x < 0.0));
}`,
    body: /* wgsl */ `
  // Bits of positive numbers are ordered as the numbers are, and those of NaN and infinity come last.
  var most = 0u;
  if (index * params.quads >= params.count) { return; }
  for (var quad = local; quad < params.quads; quad += ${workgroup}u) {
    most = max(most, magnitude(rows_quad(index, quad)));
  }
  largest[local] = most;
  workgroupBarrier();
  for (var half = ${workgroup / 2}u; half > 0u; half >>= 1u) {
    if (local < half) { largest[local] = max(largest[local], largest[local + half]); }
    workgroupBarrier();
  }
  let slot = host[params.slots + index];
  if (slot == 0xffffffffu) { return; }
  var scale = bitcast<f32>(largest[0]);
  if (isFinite(scale)) { scale = divide(scale, 127.0); }
  if (local == 0u) { plane[params.poolRows * params.quads + slot] = bitcast<u32>(scale); }
  for (var quad = local; quad < params.quads; quad += ${workgroup}u) {
    let x = rows_quad(index, quad);
    let q = vec4<u32>(rounded(x.x, scale), rounded(x.y, scale), rounded(x.z, scale), rounded(x.w, scale));
    plane[slot * params.quads + quad] = ${cacheFormats[storage].encode};
  }`,
  };
}

/** Rows of a pool as float32: `y[t] = pool[slots[t]]`. */
export function readPages(
  gpu: Gpu,
  pool: PagePool,
  plane: Block,
  slots: Int32Array,
  y: Block,
): void {
  const { storage, width, pages, pageTokens } = pool;
  const quads = rowQuads(width);
  const count = slots.length * quads;
  gpu.recorder.prepare(slots.length, 1);
  const at = gpu.recorder.integers(slots);
  const make = () =>
    eachKernel({
      name: `read pages ${storage}`,
      params: writeParams,
      buffers: {
        plane: reads(cacheFormats[storage].element),
        host: reads("u32"),
        y: writes("f32"),
      },
      declarations: HALVES + poolReader("plane", storage, "params.quads", "params.poolRows"),
      body: /* wgsl */ `
  let t = i / params.quads;
  let quad = i % params.quads;
  let value = plane_quad(host[params.slots + t], quad);
  for (var c = 0u; c < min(4u, params.width - 4u * quad); c++) {
    y[t * params.width + 4u * quad + c] = value[c];
  }`,
    });
  const params = [count, at, width, quads, pages * pageTokens];
  gpu.run(`read-pages/${storage}`, make, params, [plane, y], gridOfEach(count));
}

/** Rows in the layout of a pool: whole quads, then the scales of all rows where the storage has them. */
interface StoredRows {
  readonly block: Block;
  /** How many rows there are, which is where scales start. */
  readonly rows: number;
}

/** Copies row `from[i]` to row `to[i]` bit by bit. Of rows for one place the last stays. */
function moveRows(
  gpu: Gpu,
  { storage, width }: PagePool,
  source: StoredRows,
  from: Int32Array,
  target: StoredRows,
  to: Int32Array,
): void {
  if (to.length === 0) return;
  const quads = rowQuads(width);
  const within = source.block === target.block;
  gpu.recorder.prepare(2 * to.length, 2);
  const fromAt = gpu.recorder.integers(from);
  const toAt = gpu.recorder.integers(lastOfEach(to));
  const make = () => moveKernel(storage, within);
  const params = [to.length * quads, fromAt, toAt, quads, source.rows, target.rows];
  const buffers = within ? [target.block] : [source.block, target.block];
  gpu.run(`move-rows/${storage}/${within}`, make, params, buffers, gridOfEach(params[0]!));
}

function moveKernel(storage: CacheStorage, within: boolean): Kernel {
  const { element, scaled } = cacheFormats[storage];
  const source = within ? "target_rows" : "source_rows";
  return eachKernel({
    name: `move rows ${storage}`,
    params: { fromAt: "u32", toAt: "u32", quads: "u32", sourceRows: "u32", targetRows: "u32" },
    buffers: {
      ...(within ? {} : { source_rows: reads(element) }),
      target_rows: writes(element),
      host: reads("u32"),
    },
    body: /* wgsl */ `
  let source = host[params.fromAt + i / params.quads];
  let slot = host[params.toAt + i / params.quads];
  let quad = i % params.quads;
  if (slot == 0xffffffffu) { return; }
  target_rows[slot * params.quads + quad] = ${source}[source * params.quads + quad];
  ${scaled ? `if (quad == 0u) { target_rows[params.targetRows * params.quads + slot] = ${source}[params.sourceRows * params.quads + source]; }` : ""}`,
  });
}

/** Copies rows within a pool as they are stored. */
export function copyPages(
  gpu: Gpu,
  pool: PagePool,
  plane: Block,
  from: Int32Array,
  to: Int32Array,
): void {
  const rows = { block: plane, rows: pool.pages * pool.pageTokens };
  moveRows(gpu, pool, rows, from, rows, to);
}

/** `0, 1, 2, …` */
const inOrder = (count: number) => Int32Array.from({ length: count }, (_, i) => i);

/** Copies rows to the host as they are stored, without the padding they have on the GPU. */
export async function readStoredPages(
  gpu: Gpu,
  pool: PagePool,
  plane: Block,
  slots: Int32Array,
): Promise<Uint8Array> {
  const count = slots.length;
  const size = poolBytes({ ...pool, pages: 1, pageTokens: count });
  const words = await gpu.temporarily((take) => {
    const block = take(size);
    const source = { block: plane, rows: pool.pages * pool.pageTokens };
    moveRows(gpu, pool, source, slots, { block, rows: count }, inOrder(count));
    return readBlock(gpu, block, new Float32Array(size / 4));
  });
  const bytes = new Uint8Array(count * deviceKit.storedRowBytes(pool.storage, pool.width));
  eachStoredPart(pool, count, (inStored, inPool, length) => {
    bytes.set(new Uint8Array(words.buffer, inPool, length), inStored);
  });
  return bytes;
}

/** Writes rows that `readStoredPages` gave. */
export function writeStoredPages(
  gpu: Gpu,
  pool: PagePool,
  plane: Block,
  slots: Int32Array,
  bytes: Uint8Array,
): void {
  const count = slots.length;
  if (count === 0) return;
  const size = poolBytes({ ...pool, pages: 1, pageTokens: count });
  const words = new Float32Array(size / 4);
  eachStoredPart(pool, count, (inStored, inPool, length) => {
    new Uint8Array(words.buffer, inPool, length).set(bytes.subarray(inStored, inStored + length));
  });
  gpu.temporarily((take) => {
    const block = take(size);
    gpu.recorder.upload(block, words);
    const target = { block: plane, rows: pool.pages * pool.pageTokens };
    moveRows(gpu, pool, { block, rows: count }, inOrder(count), target, slots);
  });
}

/** Where the parts of `count` rows lie, in bytes: in the stored form without padding, and in the layout of a pool of as many rows. */
function eachStoredPart(
  { storage, width }: PagePool,
  count: number,
  visit: (inStored: number, inPool: number, length: number) => void,
): void {
  const { quadBytes, scaled } = cacheFormats[storage];
  const size = deviceKit.storedRowBytes(storage, width);
  const scaleBytes = scaled ? 4 : 0;
  const padded = rowQuads(width) * quadBytes;
  for (let row = 0; row < count; row++) {
    visit(row * size + scaleBytes, row * padded, size - scaleBytes);
    if (scaled) visit(row * size, count * padded + row * 4, 4);
  }
}
