import { relaxed, simd128 } from "./generated/simd";
import { plainKernels } from "./plain-kernels";

/** An index into `Kernels.numbers`. */
export type Pointer = number;

/**
 * The inner loops that nearly all time is spent in, on one stretch of memory. Strides and sizes are in numbers. There are two
 * versions, WebAssembly SIMD (src/assembly) and plain TypeScript.
 */
export interface Kernels {
  readonly numbers: Float64Array;
  /**
   * Panels of sign * x for `x [rows, steps]`: groups of four rows as `[group][step][4]`, missing rows zero.
   */
  packRows(to: Pointer, x: Pointer, rows: number, steps: number, sign: number): void;
  /** The same, in panels for `panelSteps` steps, of the transpose `x [steps, rows]`. */
  packColumns(
    to: Pointer,
    panelSteps: number,
    x: Pointer,
    rows: number,
    steps: number,
    sign: number,
  ): void;
  /**
   * out += left right for packed panels, `left` of rows, `right` of columns, and a row-major `out`. Only tiles with an element for which row <= column + below are computed.
   */
  multiplyPanels(
    out: Pointer,
    stride: number,
    left: Pointer,
    right: Pointer,
    rowGroups: number,
    columnGroups: number,
    steps: number,
    below: number,
  ): void;
  /** out = A u for a symmetric A, of which the upper triangle, `size` rows from `a` on, is read. */
  symmetricTimesVector(out: Pointer, a: Pointer, stride: number, u: Pointer, size: number): void;
  /** out[0 … n-1] += sum over r < count of coefficients[r] rows[r]. */
  addRows(
    out: Pointer,
    coefficients: Pointer,
    rows: Pointer,
    stride: number,
    count: number,
    n: number,
  ): void;
  /** out[r] = rows[r] · x, n numbers each, for r < count. */
  multiplyRows(
    out: Pointer,
    rows: Pointer,
    stride: number,
    x: Pointer,
    count: number,
    n: number,
  ): void;
}

const PAGE_BYTES = 65536;

/** Below this size a WebAssembly memory takes longer to make than its kernels save. */
const SIMD_FROM = 10_000;

/** Kernels on `size` zeros of their own: SIMD where the engine has it and the room, plain ones elsewhere. */
export function createKernels(size: number): Kernels {
  return (size < SIMD_FROM ? undefined : simdKernels(size)) ?? plainKernels(size);
}

/** `relaxed` fuses multiplications and additions where the machine does: results differ in the last bits. */
export type SimdBuild = "relaxed" | "simd128";

const sources: Readonly<Record<SimdBuild, string>> = { relaxed, simd128 };

/** On the given build, or the best the engine has; undefined where it has none, or no room for the memory. */
export function simdKernels(size: number, build?: SimdBuild): Kernels | undefined {
  const code = build ? compile(build) : (compile("relaxed") ?? compile("simd128"));
  if (!code) return undefined;
  try {
    const memory = new WebAssembly.Memory({ initial: Math.ceil((size * 8) / PAGE_BYTES) });
    const { exports } = new WebAssembly.Instance(code, { env: { memory } });
    return withIndices(exports as unknown as Kernels, new Float64Array(memory.buffer, 0, size));
  } catch {
    return undefined;
  }
}

const compiled = new Map<SimdBuild, WebAssembly.Module | undefined>();

/** Compiled once. The modules are small enough for the synchronous way, also on a browser's main thread. */
function compile(build: SimdBuild): WebAssembly.Module | undefined {
  if (!compiled.has(build)) compiled.set(build, tryCompile(sources[build]));
  return compiled.get(build);
}

function tryCompile(base64: string): WebAssembly.Module | undefined {
  try {
    return new WebAssembly.Module(
      Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)),
    );
  } catch {
    // No WebAssembly at all, not these instructions, or a page whose content security policy forbids it.
    return undefined;
  }
}

/** The module's functions take byte addresses; those beyond 2 GiB wrap to the same 32 bits. */
function withIndices(exports: Omit<Kernels, "numbers">, numbers: Float64Array): Kernels {
  return {
    numbers,
    packRows: (to, x, rows, steps, sign) => exports.packRows(to * 8, x * 8, rows, steps, sign),
    packColumns: (to, panelSteps, x, rows, steps, sign) =>
      exports.packColumns(to * 8, panelSteps, x * 8, rows, steps, sign),
    multiplyPanels: (out, stride, left, right, rowGroups, columnGroups, steps, below) =>
      exports.multiplyPanels(
        out * 8,
        stride,
        left * 8,
        right * 8,
        rowGroups,
        columnGroups,
        steps,
        below,
      ),
    symmetricTimesVector: (out, a, stride, u, size) =>
      exports.symmetricTimesVector(out * 8, a * 8, stride, u * 8, size),
    addRows: (out, coefficients, rows, stride, count, n) =>
      exports.addRows(out * 8, coefficients * 8, rows * 8, stride, count, n),
    multiplyRows: (out, rows, stride, x, count, n) =>
      exports.multiplyRows(out * 8, rows * 8, stride, x * 8, count, n),
  };
}
