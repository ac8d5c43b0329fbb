import { madd } from "./madd";
import { lowerCodes, panelBytes, panelRows, upperCodes } from "./panels";
import { BF16, F16, F32, I8, Q4_0, Q4_1, Q4_K, Q8_0 } from "./storages";
import { storeEdge, storeRow } from "./tile";
import { prepareInputs } from "./prepare";
import { quantised4, quantised6 } from "./vector-quantised";

/** One row of `x`, panel after panel: bound by reading the weights. */
export function multiplyVector(
  y: usize,
  x: usize,
  panels: usize,
  storage: i32,
  add: bool,
  inputs: i32,
  outputs: i32,
  workspace: usize,
): void {
  const edge = workspace;
  let prepared = x;
  if (storage > F16) {
    prepared = workspace + 256;
    prepareInputs(prepared, x, inputs, workspace + 128);
  }
  const rows = panelRows(storage);
  const bytes = panelBytes(storage, inputs);
  let o = 0;
  for (; o + rows <= outputs; o += rows) {
    multiplyPanel(storage, y, prepared, panels, inputs, add);
    panels += bytes;
    y += <usize>rows * 4;
  }
  if (o < outputs) {
    multiplyPanel(storage, edge, prepared, panels, inputs, false);
    storeEdge(y, 0, edge, 1, outputs - o, add);
  }
}

/** All rows of a panel. */
function multiplyPanel(storage: i32, y: usize, x: usize, w: usize, inputs: i32, add: bool): void {
  const groups = (inputs + 31) >> 5;
  if (storage == F32) f32Rows(y, x, w, inputs, add);
  else if (storage == BF16) bf16(y, x, w, inputs, add);
  else if (storage == F16) f16(y, x, w, inputs, add);
  else if (storage == I8) i8Rows(y, x, w, groups, add);
  else if (storage == Q8_0) q8(y, x, w, groups, add);
  else if (storage == Q4_0) q40(y, x, w, groups, add);
  else if (storage == Q4_1) q41(y, x, w, groups, add);
  else if (storage == Q4_K) q4k(y, x, w, groups >> 3, add);
  else quantised6(y, x, w, groups >> 3, add);
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

/** 8 outputs from one panel of F32; four inputs per step, each with sums of its own, so that additions do not wait. */
function f32Rows(y: usize, x: usize, w: usize, inputs: i32, add: bool): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  let k = inputs;
  for (; k > 3; k -= 4) {
    let s = v128.load32_splat(x);
    a0 = madd(a0, s, v128.load(w));
    a1 = madd(a1, s, v128.load(w, 16));
    s = v128.load32_splat(x, 4);
    b0 = madd(b0, s, v128.load(w, 32));
    b1 = madd(b1, s, v128.load(w, 48));
    s = v128.load32_splat(x, 8);
    c0 = madd(c0, s, v128.load(w, 64));
    c1 = madd(c1, s, v128.load(w, 80));
    s = v128.load32_splat(x, 12);
    d0 = madd(d0, s, v128.load(w, 96));
    d1 = madd(d1, s, v128.load(w, 112));
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
  const low = f32x4.add(f32x4.add(a0, b0), f32x4.add(c0, d0));
  const high = f32x4.add(f32x4.add(a1, b1), f32x4.add(c1, d1));
  storeRow(y, low, high, add);
}
