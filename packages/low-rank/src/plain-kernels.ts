import type { Kernels, Pointer } from "./kernels";
import { axpy, dot } from "./vector";

/** The kernels without WebAssembly: the same numbers up to the order of sums, several times slower. */
export function plainKernels(size: number): Kernels {
  const numbers = new Float64Array(size);
  return {
    numbers,
    packRows: (to, x, rows, steps, sign) =>
      packPanels(numbers, to, x, rows, steps, { sign, rowStride: steps, stepStride: 1 }),
    packColumns: (to, panelSteps, x, rows, steps, sign) => {
      for (let r = 0; r < rows; r += 4) {
        const group = { sign, rowStride: 1, stepStride: rows };
        packPanels(numbers, to + r * panelSteps, x + r, Math.min(4, rows - r), steps, group);
      }
    },
    multiplyPanels: (out, stride, left, right, rowGroups, columnGroups, steps, below) => {
      const panel = 4 * steps;
      for (let j = 0; j < columnGroups; j += 1) {
        for (let i = 0; i < rowGroups && 4 * i <= 4 * j + 3 + below; i += 1) {
          const target = out + 4 * i * stride + 4 * j;
          multiplyTile(numbers, target, stride, left + i * panel, right + j * panel, steps);
        }
      }
    },
    symmetricTimesVector: (out, a, stride, u, n) => {
      numbers.fill(0, out, out + n);
      for (let i = 0; i < n; i += 1) {
        const row = a + i * (stride + 1);
        numbers[out + i] += dot(numbers, row, numbers, u + i, n - i);
        axpy(numbers[u + i], numbers, row + 1, numbers, out + i + 1, n - i - 1);
      }
    },
    addRows: (out, coefficients, rows, stride, count, n) => {
      for (let r = 0; r < count; r += 1) {
        axpy(numbers[coefficients + r], numbers, rows + r * stride, numbers, out, n);
      }
    },
    multiplyRows: (out, rows, stride, x, count, n) => {
      for (let r = 0; r < count; r += 1) {
        numbers[out + r] = dot(numbers, rows + r * stride, numbers, x, n);
      }
    },
  };
}

function packPanels(
  numbers: Float64Array,
  to: Pointer,
  x: Pointer,
  rows: number,
  steps: number,
  { sign, rowStride, stepStride }: { sign: number; rowStride: number; stepStride: number },
): void {
  for (let group = 0; group < rows; group += 4) {
    for (let step = 0; step < steps; step += 1) {
      const from = x + group * rowStride + step * stepStride;
      for (let r = 0; r < 4; r += 1, to += 1) {
        numbers[to] = group + r < rows ? sign * numbers[from + r * rowStride] : 0;
      }
    }
  }
}

/** Adds a 4x4 tile of the product of two panels: 16 running sums. */
function multiplyTile(
  numbers: Float64Array,
  target: Pointer,
  stride: number,
  leftPanel: Pointer,
  rightPanel: Pointer,
  steps: number,
): void {
  let c00 = 0,
    c01 = 0,
    c02 = 0,
    c03 = 0;
  let c10 = 0,
    c11 = 0,
    c12 = 0,
    c13 = 0;
  let c20 = 0,
    c21 = 0,
    c22 = 0,
    c23 = 0;
  let c30 = 0,
    c31 = 0,
    c32 = 0,
    c33 = 0;
  let q = rightPanel;
  const end = leftPanel + 4 * steps;
  for (let p = leftPanel; p < end; p += 4, q += 4) {
    const a0 = numbers[p];
    const a1 = numbers[p + 1];
    const a2 = numbers[p + 2];
    const a3 = numbers[p + 3];
    const b0 = numbers[q];
    const b1 = numbers[q + 1];
    const b2 = numbers[q + 2];
    const b3 = numbers[q + 3];
    c00 += a0 * b0;
    c01 += a0 * b1;
    c02 += a0 * b2;
    c03 += a0 * b3;
    c10 += a1 * b0;
    c11 += a1 * b1;
    c12 += a1 * b2;
    c13 += a1 * b3;
    c20 += a2 * b0;
    c21 += a2 * b1;
    c22 += a2 * b2;
    c23 += a2 * b3;
    c30 += a3 * b0;
    c31 += a3 * b1;
    c32 += a3 * b2;
    c33 += a3 * b3;
  }
  numbers[target] += c00;
  numbers[target + 1] += c01;
  numbers[target + 2] += c02;
  numbers[target + 3] += c03;
  target += stride;
  numbers[target] += c10;
  numbers[target + 1] += c11;
  numbers[target + 2] += c12;
  numbers[target + 3] += c13;
  target += stride;
  numbers[target] += c20;
  numbers[target + 1] += c21;
  numbers[target + 2] += c22;
  numbers[target + 3] += c23;
  target += stride;
  numbers[target] += c30;
  numbers[target + 1] += c31;
  numbers[target + 2] += c32;
  numbers[target + 3] += c33;
}
