import { ranges, type Call, type Pointer } from "./kernels";
import type { Runtime } from "./runtime";

/** Numbers below which an elementwise operation stays on one thread (some 10 microseconds). */
export const WORTH_SPLITTING = 32_768;

/** Shares `rows` rows out that cost as much as `width` sums each; `call` makes the part of `count` rows from `first` on. */
export function byRows(
  runtime: Runtime,
  rows: number,
  width: number,
  unit: number,
  call: (first: number, count: number) => Call,
): void {
  const parts = rows * width < WORTH_SPLITTING ? 1 : runtime.threads;
  runtime.run(ranges(rows, parts, unit).map(({ first, count }) => call(first, count)));
}

/** `y = a + b`, `count` numbers. */
export function add(runtime: Runtime, y: Pointer, a: Pointer, b: Pointer, count: number): void {
  byRows(runtime, count, 1, 16, (first, n) => {
    const at = 4 * first;
    return ["add", y + at, a + at, b + at, n];
  });
}

/** `y = activation(gate) * up`, `count` numbers. */
export function gatedActivation(
  runtime: Runtime,
  y: Pointer,
  gate: Pointer,
  up: Pointer,
  count: number,
  gelu: boolean,
): void {
  // An exponential costs as much as some 4 sums.
  byRows(runtime, count, 4, 16, (first, n) => {
    const at = 4 * first;
    return ["gatedActivation", y + at, gate + at, up + at, n, gelu ? 1 : 0];
  });
}

/** `groups` groups of `width` numbers. */
export function rmsNorm(
  runtime: Runtime,
  [y, x, weight]: readonly [Pointer, Pointer, Pointer],
  groups: number,
  width: number,
  epsilon: number,
): void {
  byRows(runtime, groups, width, 1, (first, n) => {
    const at = 4 * first * width;
    return ["rmsNorm", y + at, x + at, weight, n, width, epsilon];
  });
}

/** `heads` heads of `2 * half` numbers per token; `positions` is the address of whole numbers. */
export function rope(
  runtime: Runtime,
  [y, x, cos, sin, positions]: readonly [Pointer, Pointer, Pointer, Pointer, Pointer],
  tokens: number,
  heads: number,
  half: number,
): void {
  const width = 2 * heads * half;
  byRows(runtime, tokens, width, 1, (first, n) => {
    const at = 4 * first * width;
    return ["rope", y + at, x + at, cos, sin, positions + 4 * first, n, heads, half];
  });
}

/** `y = factor * y`, `count` numbers. */
export function scale(runtime: Runtime, y: Pointer, factor: number, count: number): void {
  byRows(runtime, count, 1, 16, (first, n) => ["scale", y + 4 * first, factor, n]);
}

/** `y = cap * tanh(x / cap)`, `count` numbers. */
export function softCap(
  runtime: Runtime,
  y: Pointer,
  x: Pointer,
  cap: number,
  count: number,
): void {
  // An exponential costs as much as some 4 sums.
  byRows(runtime, count, 4, 16, (first, n) => {
    const at = 4 * first;
    return ["softCap", y + at, x + at, cap, n];
  });
}
