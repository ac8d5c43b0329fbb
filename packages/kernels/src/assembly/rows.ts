import {
  canCode,
  codeOf,
  decode,
  element,
  panelOf,
  panelRows,
  stepBytes,
  stripOf,
  widenF16,
} from "./panels";
import { packQuantised } from "./quants";
import { BF16, F16, F32, WIDENED_F16 } from "./storages";
import { widen } from "./widen";

export { canCode };

/** Inputs that are widened at once: 9 KB of the workspace. */
const STEP: i32 = 288;

/**
 * Writes `count` rows at `source`, each in the file format of `storage`, to rows `first …` of a matrix of panels.
 * `WIDENED_F16` is binary16 into F32 panels.
 */
export function packRows(
  panels: usize,
  storage: i32,
  source: usize,
  first: i32,
  count: i32,
  inputs: i32,
): void {
  for (let row = first; row < first + count; row++) {
    if (storage > F16 && storage != WIDENED_F16) {
      const scales =
        panelOf(panels, storage, inputs, row) + <usize>(row & (panelRows(storage) - 1)) * 4;
      const strip = stripOf(panels, storage, inputs, row);
      source = packQuantised(strip, scales, storage, source, row, inputs);
    } else if (storage == F32 || storage == WIDENED_F16) {
      let to = element(panels, F32, inputs, row, 0);
      for (let k = 0; k < inputs; k++) {
        if (storage == F32) {
          store<u32>(to, load<u32>(source));
          source += 4;
        } else {
          store<f32>(to, widenF16(load<u16>(source)));
          source += 2;
        }
        to += 32;
      }
    } else {
      let to = element(panels, storage, inputs, row, 0);
      for (let k = 0; k < inputs; k++) {
        const bits = <u32>load<u16>(source);
        store<u16>(to, <u16>(storage == F16 ? codeOf(bits) : bits));
        source += 2;
        to += stepBytes(BF16);
      }
    }
  }
}

/** Copies row `row` as float32 to `to`. */
export function unpackRow(
  panels: usize,
  storage: i32,
  inputs: i32,
  row: i32,
  to: usize,
  workspace: usize,
): void {
  if (storage <= F16) {
    let from = element(panels, storage, inputs, row, 0);
    for (const end = to + <usize>inputs * 4; to < end; to += 4) {
      if (storage == F32) store<u32>(to, load<u32>(from));
      else if (storage == BF16) store<u32>(to, (<u32>load<u16>(from)) << 16);
      else store<f32>(to, decode(load<u16>(from)));
      from += stepBytes(storage);
    }
    return;
  }
  for (let k = 0; k < inputs; k += STEP) {
    const depth = min(STEP, inputs - k);
    widen(workspace, panels, storage, inputs, row, k, depth);
    for (let i = 0; i < depth; i++) {
      store<u32>(to, load<u32>(workspace + (<usize>i * 8 + (row & 7)) * 4));
      to += 4;
    }
  }
}

/**
 * Makes new panels of rows `first … first + rows - 1`, as they are or transposed to a matrix of `inputs` rows: BF16 stays
 * BF16, everything else becomes F32. The memory at `to` is zeroed by the caller.
 */
export function repack(
  to: usize,
  panels: usize,
  storage: i32,
  inputs: i32,
  first: i32,
  rows: i32,
  transposed: bool,
  workspace: usize,
): void {
  const target = storage == BF16 ? BF16 : F32;
  const columns = transposed ? rows : inputs;
  const widened = storage > BF16;
  for (let r = 0; r < rows; r++) {
    const row = first + r;
    for (let k = 0; k < inputs; k += STEP) {
      const depth = min(STEP, inputs - k);
      if (widened) widen(workspace, panels, storage, inputs, row, k, depth);
      for (let i = 0; i < depth; i++) {
        const from = widened
          ? workspace + (<usize>i * 8 + (row & 7)) * 4
          : element(panels, storage, inputs, row, k + i);
        const at = transposed
          ? element(to, target, columns, k + i, r)
          : element(to, target, columns, r, k + i);
        if (target == F32) store<u32>(at, load<u32>(from));
        else store<u16>(at, load<u16>(from));
      }
    }
  }
}
