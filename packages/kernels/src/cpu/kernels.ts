import { KernelsError } from "../errors";
import type { Memory } from "./memory";

/** Addresses in the module's memory. */
export type Pointer = number;

/** The functions of `src/assembly`, see there. Booleans are 0 and 1. */
export interface Kernels {
  packRows(
    panels: Pointer,
    format: number,
    source: Pointer,
    first: number,
    count: number,
    inputs: number,
  ): void;
  unpackRow(panels: Pointer, storage: number, inputs: number, row: number, to: Pointer): void;
  repack(
    to: Pointer,
    panels: Pointer,
    storage: number,
    inputs: number,
    first: number,
    rows: number,
    transposed: number,
  ): void;
  linear(
    y: Pointer,
    ldy: number,
    x: Pointer,
    ldx: number,
    panels: Pointer,
    storage: number,
    bias: Pointer,
    tokens: number,
    inputs: number,
    outputs: number,
    workspace: Pointer,
  ): void;
  linearWorkspace(): number;
  add(y: Pointer, a: Pointer, b: Pointer, count: number): void;
  addScaled(y: Pointer, x: Pointer, factor: number, count: number): void;
  rmsNorm(
    y: Pointer,
    x: Pointer,
    weight: Pointer,
    groups: number,
    width: number,
    epsilon: number,
  ): void;
  gatedActivation(y: Pointer, gate: Pointer, up: Pointer, count: number, gelu: number): void;
  rope(
    y: Pointer,
    x: Pointer,
    cos: Pointer,
    sin: Pointer,
    positions: Pointer,
    tokens: number,
    heads: number,
    half: number,
  ): void;
  argmax(y: Pointer, x: Pointer, rows: number, columns: number): void;
  attend(task: Pointer, workspace: Pointer): void;
  attentionWorkspace(): number;
  normaliseRows(
    to: Pointer,
    from: Pointer,
    sum: Pointer,
    rows: number,
    width: number,
    padded: number,
  ): void;
}

/** The smallest module that uses an instruction of the SIMD extension: `() => { drop(i32x4.splat(0)) }`. */
const SIMD_PROBE = Uint8Array.from(
  [
    [0, 97, 115, 109, 1, 0, 0, 0], // magic and version
    [1, 4, 1, 96, 0, 0], // one type: () => ()
    [3, 2, 1, 0], // one function of it
    [10, 9, 1, 7, 0, 65, 0, 253, 17, 26, 11], // i32.const 0, i32x4.splat, drop, end
  ].flat(),
);

/** Compiles the module onto a memory. Throws `UnsupportedPlatform` where there is no WebAssembly SIMD. */
export async function instantiate(base64: string, memory: Memory): Promise<Kernels> {
  if (!WebAssembly.validate(SIMD_PROBE)) {
    throw new KernelsError(
      "UnsupportedPlatform",
      "The CPU device needs WebAssembly SIMD (Node 16, Chrome 91, Firefox 89, Safari 16.4 or later).",
    );
  }
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const imports = { env: { memory: memory.buffer } };
  const { instance } = await WebAssembly.instantiate(bytes, imports);
  return instance.exports as unknown as Kernels;
}
