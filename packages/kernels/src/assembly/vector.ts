import { madd } from "./madd";
import { lowerCodes, panelBytes, upperCodes } from "./panels";
import { BF16, F16, F32, I8, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0 } from "./storages";
import { storeEdge, storeRow } from "./tile";
import { prepareInputs } from "./prepare";
import { quantised2, quantised4 } from "./vector-quantised";

/**
 * One row of `x`: bound by reading the weights, so several panels are read at once to keep the memory busy:
 * four of 16, 8 and 4 bits, two of the others.
 */
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
  const bytes = panelBytes(storage, inputs);
  let o = 0;
  if (storage != F32 && storage != Q6_K) {
    for (; o + 32 <= outputs; o += 32) {
      four(storage, y, prepared, panels, bytes, inputs, add);
      panels += 4 * bytes;
      y += 128;
    }
  }
  for (; o + 16 <= outputs; o += 16) {
    pair(storage, y, prepared, panels, panels + bytes, inputs, add);
    panels += 2 * bytes;
    y += 64;
  }
  if (o < outputs) {
    const second = outputs - o > 8 ? panels + bytes : panels;
    pair(storage, edge, prepared, panels, second, inputs, false);
    storeEdge(y, 0, edge, 1, outputs - o, add);
  }
}

/** 32 outputs from four panels. */
function four(storage: i32, y: usize, x: usize, w: usize, bytes: usize, inputs: i32, add: bool): void {
  const groups = (inputs + 31) >> 5;
  if (storage == BF16) bf16x4(y, x, w, bytes, inputs, add);
  else if (storage == F16) f16x4(y, x, w, bytes, inputs, add);
  else if (storage == I8) i8x4(y, x, w, bytes, groups, add);
  else if (storage == Q8_0) q8x4(y, x, w, bytes, groups, add);
  else if (storage == Q4_0) q40x4(y, x, w, bytes, groups, add);
  else if (storage == Q4_1) q41x4(y, x, w, bytes, groups, add);
  else q4kx4(y, x, w, bytes, groups >> 3, add);
}

/** 16 outputs from two panels. */
function pair(storage: i32, y: usize, x: usize, w0: usize, w1: usize, inputs: i32, add: bool): void {
  const groups = (inputs + 31) >> 5;
  if (storage == F32) f32x2(y, x, w0, w1, inputs, add);
  else if (storage <= F16) sixteenBits2(storage, y, x, w0, w1, inputs, add);
  else if (storage == I8) i8x2(y, x, w0, w1, groups, add);
  else if (storage == Q8_0) q8x2(y, x, w0, w1, groups, add);
  else if (storage == Q4_0) q40x2(y, x, w0, w1, groups, add);
  else if (storage == Q4_1) q41x2(y, x, w0, w1, groups, add);
  else if (storage == Q4_K) q4kx2(y, x, w0, w1, groups >> 3, add);
  else q6kx2(y, x, w0, w1, groups >> 3, add);
}

function i8x4(y: usize, x: usize, w: usize, stride: usize, supers: i32, add: bool): void {
  quantised4(I8, y, x, w, stride, supers, add);
}

function q8x4(y: usize, x: usize, w: usize, stride: usize, supers: i32, add: bool): void {
  quantised4(Q8_0, y, x, w, stride, supers, add);
}

function q40x4(y: usize, x: usize, w: usize, stride: usize, supers: i32, add: bool): void {
  quantised4(Q4_0, y, x, w, stride, supers, add);
}

function q41x4(y: usize, x: usize, w: usize, stride: usize, supers: i32, add: bool): void {
  quantised4(Q4_1, y, x, w, stride, supers, add);
}

function q4kx4(y: usize, x: usize, w: usize, stride: usize, supers: i32, add: bool): void {
  quantised4(Q4_K, y, x, w, stride, supers, add);
}

function i8x2(y: usize, x: usize, w0: usize, w1: usize, supers: i32, add: bool): void {
  quantised2(I8, y, x, w0, w1, supers, add);
}

function q8x2(y: usize, x: usize, w0: usize, w1: usize, supers: i32, add: bool): void {
  quantised2(Q8_0, y, x, w0, w1, supers, add);
}

function q40x2(y: usize, x: usize, w0: usize, w1: usize, supers: i32, add: bool): void {
  quantised2(Q4_0, y, x, w0, w1, supers, add);
}

function q41x2(y: usize, x: usize, w0: usize, w1: usize, supers: i32, add: bool): void {
  quantised2(Q4_1, y, x, w0, w1, supers, add);
}

function q4kx2(y: usize, x: usize, w0: usize, w1: usize, supers: i32, add: bool): void {
  quantised2(Q4_K, y, x, w0, w1, supers, add);
}

function q6kx2(y: usize, x: usize, w0: usize, w1: usize, supers: i32, add: bool): void {
  quantised2(Q6_K, y, x, w0, w1, supers, add);
}

/** Four panels of BF16 or F16 at once: 32 outputs. To be inlined with a constant `storage`. */
@inline
function sixteenBits4(
  storage: i32,
  y: usize,
  x: usize,
  w0: usize,
  stride: usize,
  inputs: i32,
  add: bool,
): void {
  let w1 = w0 + stride;
  let w2 = w1 + stride;
  let w3 = w2 + stride;
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
    let words = v128.load(w0);
    a0 = madd(a0, s, lower(storage, words));
    a1 = madd(a1, s, upper(storage, words));
    words = v128.load(w1);
    a2 = madd(a2, s, lower(storage, words));
    a3 = madd(a3, s, upper(storage, words));
    words = v128.load(w2);
    a4 = madd(a4, s, lower(storage, words));
    a5 = madd(a5, s, upper(storage, words));
    words = v128.load(w3);
    a6 = madd(a6, s, lower(storage, words));
    a7 = madd(a7, s, upper(storage, words));
    w0 += 16;
    w1 += 16;
    w2 += 16;
    w3 += 16;
    x += 4;
  }
  storeRow(y, a0, a1, add);
  storeRow(y + 32, a2, a3, add);
  storeRow(y + 64, a4, a5, add);
  storeRow(y + 96, a6, a7, add);
}

/** Rows 0–3 of four words of a panel. */
@inline
function lower(storage: i32, words: v128): v128 {
  return storage == BF16 ? i32x4.shl(words, 16) : lowerCodes(words);
}

/** Rows 4–7 of four words of a panel. */
@inline
function upper(storage: i32, words: v128): v128 {
  return storage == BF16 ? v128.and(words, i32x4.splat(0xffff0000)) : upperCodes(words);
}

function bf16x4(y: usize, x: usize, w: usize, stride: usize, inputs: i32, add: bool): void {
  sixteenBits4(BF16, y, x, w, stride, inputs, add);
}

function f16x4(y: usize, x: usize, w: usize, stride: usize, inputs: i32, add: bool): void {
  sixteenBits4(F16, y, x, w, stride, inputs, add);
}

/** Two F32 panels at once, two inputs per step: 16 outputs. */
function f32x2(y: usize, x: usize, w0: usize, w1: usize, inputs: i32, add: bool): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let k = inputs;
  for (; k > 1; k -= 2) {
    let s = v128.load32_splat(x);
    a0 = madd(a0, s, v128.load(w0));
    a1 = madd(a1, s, v128.load(w0, 16));
    a2 = madd(a2, s, v128.load(w1));
    a3 = madd(a3, s, v128.load(w1, 16));
    s = v128.load32_splat(x, 4);
    b0 = madd(b0, s, v128.load(w0, 32));
    b1 = madd(b1, s, v128.load(w0, 48));
    b2 = madd(b2, s, v128.load(w1, 32));
    b3 = madd(b3, s, v128.load(w1, 48));
    w0 += 64;
    w1 += 64;
    x += 8;
  }
  if (k == 1) {
    const s = v128.load32_splat(x);
    a0 = madd(a0, s, v128.load(w0));
    a1 = madd(a1, s, v128.load(w0, 16));
    a2 = madd(a2, s, v128.load(w1));
    a3 = madd(a3, s, v128.load(w1, 16));
  }
  storeRow(y, f32x4.add(a0, b0), f32x4.add(a1, b1), add);
  storeRow(y + 32, f32x4.add(a2, b2), f32x4.add(a3, b3), add);
}

/** Two panels of BF16 or F16 at once: 16 outputs. */
function sixteenBits2(
  storage: i32,
  y: usize,
  x: usize,
  w0: usize,
  w1: usize,
  inputs: i32,
  add: bool,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  for (let k = inputs; k > 0; k--) {
    const s = v128.load32_splat(x);
    let words = v128.load(w0);
    a0 = madd(a0, s, lower(storage, words));
    a1 = madd(a1, s, upper(storage, words));
    words = v128.load(w1);
    a2 = madd(a2, s, lower(storage, words));
    a3 = madd(a3, s, upper(storage, words));
    w0 += 16;
    w1 += 16;
    x += 4;
  }
  storeRow(y, a0, a1, add);
  storeRow(y + 32, a2, a3, add);
}
