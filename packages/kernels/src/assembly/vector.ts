import { madd } from "./madd";
import { lowerCodes, panelBytes, panelRows, stepBytes, upperCodes } from "./panels";
import { BF16, F16, F32, I8, Q4_0, Q4_1, Q4_K, Q8_0 } from "./storages";
import { storeEdge, storeRow } from "./tile";
import { quantised4, quantised6 } from "./vector-quantised";

/**
 * Few rows of `x`, panel after panel: bound by reading the weights, which come from memory once. Rows of `x` are `xBytes`
 * apart, those of `y` `yBytes`; quantised weights want prepared ones. Float weights are summed in blocks of `depth` inputs, as
 * `multiplyBlock` of `linear.ts` does, so that a row's result does not depend on how many others there are.
 */
export function multiplyRows(
  y: usize,
  yBytes: usize,
  x: usize,
  xBytes: usize,
  rows: i32,
  panels: usize,
  storage: i32,
  add: bool,
  inputs: i32,
  depth: i32,
  outputs: i32,
  edge: usize,
): void {
  const width = panelRows(storage);
  const bytes = panelBytes(storage, inputs);
  for (let o = 0; o < outputs; o += width) {
    for (let r = 0; r < rows; r++) {
      const target = y + <usize>r * yBytes + <usize>o * 4;
      const row = x + <usize>r * xBytes;
      const columns = min(width, outputs - o);
      if (storage > F16) quantisedPanel(storage, target, row, panels, inputs, columns, add, edge);
      else floatPanel(storage, target, row, panels, inputs, depth, columns, add, edge);
    }
    panels += bytes;
  }
}

/** The first `columns` rows of a quantised panel. */
function quantisedPanel(
  storage: i32,
  y: usize,
  x: usize,
  w: usize,
  inputs: i32,
  columns: i32,
  add: bool,
  edge: usize,
): void {
  const whole = columns == panelRows(storage);
  const to = whole ? y : edge;
  const adds = whole && add;
  const groups = (inputs + 31) >> 5;
  if (storage == I8) i8Rows(to, x, w, groups, adds);
  else if (storage == Q8_0) q8(to, x, w, groups, adds);
  else if (storage == Q4_0) q40(to, x, w, groups, adds);
  else if (storage == Q4_1) q41(to, x, w, groups, adds);
  else if (storage == Q4_K) q4k(to, x, w, groups >> 3, adds);
  else quantised6(to, x, w, groups >> 3, adds);
  if (!whole) storeEdge(y, 0, edge, 1, columns, add);
}

/** The first `columns` rows of a panel of floats, block by block. */
function floatPanel(
  storage: i32,
  y: usize,
  x: usize,
  w: usize,
  inputs: i32,
  depth: i32,
  columns: i32,
  add: bool,
  edge: usize,
): void {
  const whole = columns == panelRows(storage);
  const to = whole ? y : edge;
  for (let k = 0; k < inputs; k += depth) {
    const count = min(depth, inputs - k);
    const adds = add || k > 0;
    if (storage == F32) f32Rows(to, x, w, count, whole && adds);
    else if (storage == BF16) bf16(to, x, w, count, whole && adds);
    else f16(to, x, w, count, whole && adds);
    if (!whole) storeEdge(y, 0, edge, 1, columns, adds);
    x += <usize>count * 4;
    w += <usize>count * stepBytes(storage);
  }
}

function bf16(y: usize, x: usize, w: usize, inputs: i32, add: bool): void {
  sixteenBits(BF16, y, x, w, inputs, add);
}

function f16(y: usize, x: usize, w: usize, inputs: i32, add: bool): void {
  sixteenBits(F16, y, x, w, inputs, add);
}

function i8Rows(y: usize, x: usize, w: usize, steps: i32, add: bool): void {
  quantised4(I8, y, x, w, steps, add);
}

function q8(y: usize, x: usize, w: usize, steps: i32, add: bool): void {
  quantised4(Q8_0, y, x, w, steps, add);
}

function q40(y: usize, x: usize, w: usize, steps: i32, add: bool): void {
  quantised4(Q4_0, y, x, w, steps, add);
}

function q41(y: usize, x: usize, w: usize, steps: i32, add: bool): void {
  quantised4(Q4_1, y, x, w, steps, add);
}

function q4k(y: usize, x: usize, w: usize, steps: i32, add: bool): void {
  quantised4(Q4_K, y, x, w, steps, add);
}

/** 32 outputs from one panel of BF16 or F16. To be inlined with a constant `storage`. */
@inline
function sixteenBits(storage: i32, y: usize, x: usize, w: usize, inputs: i32, add: bool): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  for (let k = inputs; k > 0; k--) {
    const s = v128.load32_splat(x);
    let words = v128.load(w);
    a0 = madd(a0, s, lower(storage, words));
    a1 = madd(a1, s, upper(storage, words));
    words = v128.load(w, 16);
    a2 = madd(a2, s, lower(storage, words));
    a3 = madd(a3, s, upper(storage, words));
    words = v128.load(w, 32);
    a4 = madd(a4, s, lower(storage, words));
    a5 = madd(a5, s, upper(storage, words));
    words = v128.load(w, 48);
    a6 = madd(a6, s, lower(storage, words));
    a7 = madd(a7, s, upper(storage, words));
    w += 64;
    x += 4;
  }
  storeRow(y, a0, a1, add);
  storeRow(y + 32, a2, a3, add);
  storeRow(y + 64, a4, a5, add);
  storeRow(y + 96, a6, a7, add);
}

/** Rows 0–3 of four words of a strip. */
@inline
function lower(storage: i32, words: v128): v128 {
  return storage == BF16 ? i32x4.shl(words, 16) : lowerCodes(words);
}

/** Rows 4–7 of four words of a strip. */
@inline
function upper(storage: i32, words: v128): v128 {
  return storage == BF16 ? v128.and(words, i32x4.splat(0xffff0000)) : upperCodes(words);
}

/** 8 outputs from one panel of F32. Additions of one input wait for those of the input before: the order is that of the tile. */
function f32Rows(y: usize, x: usize, w: usize, inputs: i32, add: bool): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let k = inputs;
  for (; k > 3; k -= 4) {
    let s = v128.load32_splat(x);
    a0 = madd(a0, s, v128.load(w));
    a1 = madd(a1, s, v128.load(w, 16));
    s = v128.load32_splat(x, 4);
    a0 = madd(a0, s, v128.load(w, 32));
    a1 = madd(a1, s, v128.load(w, 48));
    s = v128.load32_splat(x, 8);
    a0 = madd(a0, s, v128.load(w, 64));
    a1 = madd(a1, s, v128.load(w, 80));
    s = v128.load32_splat(x, 12);
    a0 = madd(a0, s, v128.load(w, 96));
    a1 = madd(a1, s, v128.load(w, 112));
    w += 128;
    x += 16;
  }
  for (; k > 0; k--) {
    const s = v128.load32_splat(x);
    a0 = madd(a0, s, v128.load(w));
    a1 = madd(a1, s, v128.load(w, 16));
    w += 32;
    x += 4;
  }
  storeRow(y, a0, a1, add);
}
