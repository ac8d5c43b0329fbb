import type { WeightStorage } from "@transmla/kernels";
import { weightFormats } from "../formats/weight-formats";
import type { Block } from "../runtime/buffer-pool";
import type { Gpu } from "../runtime/gpu";
import { reads, writes } from "../wgsl/kernel";
import { eachKernel, gridOfEach } from "./pointwise";
import { rowElements, type GpuWeight } from "./weights";

/** `y[t] = factor * table[ids[t]]` */
export function embedding(
  gpu: Gpu,
  table: GpuWeight,
  ids: Int32Array,
  factor: number,
  y: Block,
): void {
  const columns = table.shape[1];
  const quads = Math.ceil(columns / 4);
  gpu.recorder.prepare(ids.length, 1);
  const at = gpu.recorder.integers(ids);
  for (const part of table.parts) {
    gpu.run(
      `embedding/${table.storage}`,
      () => embeddingKernel(table.storage),
      [
        ids.length * quads,
        at,
        columns,
        quads,
        part.first,
        part.rows,
        rowElements(table),
        weightFormats[table.storage].tailWord(columns),
        factor,
      ],
      [part.block, y],
      gridOfEach(ids.length * quads),
    );
  }
}

function embeddingKernel(storage: WeightStorage) {
  const format = weightFormats[storage];
  return eachKernel({
    name: `embedding ${storage}`,
    params: {
      ids: "u32",
      columns: "u32",
      quads: "u32",
      first: "u32",
      rows: "u32",
      rowElements: "u32",
      tail: "u32",
      factor: "f32",
    },
    buffers: { weights: reads(format.element), host: reads("u32"), y: writes("f32") },
    declarations: format.code,
    body: /* wgsl */ `
  let t = i / params.quads;
  let column = i % params.quads * 4u;
  let id = host[params.ids + t];
  // The rest of the table is in another buffer.
  if (id < params.first || id >= params.first + params.rows) { return; }
  let scale = scaleOf(id - params.first, column);
  let value = params.factor * (scale.x * raw4(id - params.first, column) + scale.y);
  for (var c = 0u; c < min(4u, params.columns - column); c++) { y[t * params.columns + column + c] = value[c]; }`,
  });
}

/** `y[t] = x[rows[t]]` for rows of `columns` numbers. */
export function gatherRows(gpu: Gpu, x: Block, columns: number, rows: Int32Array, y: Block): void {
  const count = rows.length * columns;
  gpu.recorder.prepare(rows.length, 1);
  const at = gpu.recorder.integers(rows);
  const make = () =>
    eachKernel({
      name: "gather rows",
      params: { rows: "u32", columns: "u32" },
      buffers: { x: reads("f32"), host: reads("u32"), y: writes("f32") },
      body: /* wgsl */ `
  y[i] = x[host[params.rows + i / params.columns] * params.columns + i % params.columns];`,
    });
  gpu.run("gather", make, [count, at, columns], [x, y], gridOfEach(count));
}

/** Root mean square norm of groups of `width` numbers, one workgroup each. */
export function rmsNorm(
  gpu: Gpu,
  x: Block,
  weight: Block,
  epsilon: number,
  y: Block,
  size: { readonly groups: number; readonly width: number },
): void {
  const { groups, width } = size;
  const workgroup = width <= 64 ? 32 : 128;
  const make = () => ({
    name: "rms norm",
    params: { groups: "u32", width: "u32", epsilon: "f32" } as const,
    buffers: { x: reads("f32"), weight: reads("f32"), y: writes("f32") },
    workgroup,
    declarations: `var<workgroup> squares: array<f32, ${workgroup}>;`,
    body: /* wgsl */ `
  if (index >= params.groups) { return; }
  let start = index * params.width;
  var sum = 0.0;
  for (var c = local; c < params.width; c += ${workgroup}u) {
    let value = x[start + c];
    sum += value * value;
  }
  squares[local] = sum;
  workgroupBarrier();
  for (var half = ${workgroup / 2}u; half > 0u; half >>= 1u) {
    if (local < half) { squares[local] += squares[local + half]; }
    workgroupBarrier();
  }
  // A division, because inverseSqrt is allowed to be coarse.
  let root = sqrt(squares[0] / f32(params.width) + params.epsilon);
  for (var c = local; c < params.width; c += ${workgroup}u) {
    y[start + c] = x[start + c] / root * weight[c];
  }`,
  });
  gpu.run(`rms-norm/${workgroup}`, make, [groups, width, epsilon], [x, weight, y], {
    count: groups,
  });
}

/** Rotates pairs `f`, `f + half` of every head by the angles of row `positions[t]` of the table. */
export function rope(
  gpu: Gpu,
  x: Block,
  table: { readonly cos: Block; readonly sin: Block },
  positions: Int32Array,
  y: Block,
  size: { readonly columns: number; readonly half: number },
): void {
  const { columns, half } = size;
  const count = (positions.length * columns) / 2;
  gpu.recorder.prepare(positions.length, 1);
  const at = gpu.recorder.integers(positions);
  const make = () =>
    eachKernel({
      name: "rope",
      params: { positions: "u32", columns: "u32", half: "u32" },
      buffers: {
        x: reads("f32"),
        cosines: reads("f32"),
        sines: reads("f32"),
        host: reads("u32"),
        y: writes("f32"),
      },
      body: /* wgsl */ `
  let pairs = params.columns / 2u;
  let t = i / pairs;
  let head = i % pairs / params.half;
  let f = i % params.half;
  let re = t * params.columns + head * 2u * params.half + f;
  let im = re + params.half;
  let angle = host[params.positions + t] * params.half + f;
  let c = cosines[angle];
  let s = sines[angle];
  y[re] = x[re] * c - x[im] * s;
  y[im] = x[re] * s + x[im] * c;`,
    });
  const params = [count, at, columns, half];
  gpu.run("rope", make, params, [x, table.cos, table.sin, y], gridOfEach(count));
}

/** Index of the largest number of every row, the first among equals; one workgroup per row. */
export function argmax(gpu: Gpu, x: Block, rows: number, columns: number, y: Block): void {
  const workgroup = 128;
  const make = () => ({
    name: "argmax",
    params: { rows: "u32", columns: "u32" } as const,
    buffers: { x: reads("f32"), y: writes("f32") },
    workgroup,
    declarations: /* wgsl */ `
var<workgroup> values: array<f32, ${workgroup}>;
var<workgroup> places: array<u32, ${workgroup}>;`,
    body: /* wgsl */ `
  if (index >= params.rows) { return; }
  let start = index * params.columns;
  // Where nothing is greater than the first number, the first it is.
  var best = x[start];
  var place = 0u;
  for (var c = local; c < params.columns; c += ${workgroup}u) {
    let value = x[start + c];
    if (value > best) { best = value; place = c; }
  }
  values[local] = best;
  places[local] = place;
  workgroupBarrier();
  for (var half = ${workgroup / 2}u; half > 0u; half >>= 1u) {
    if (local < half) {
      let value = values[local + half];
      let other = places[local + half];
      if (value > values[local] || (value == values[local] && other < places[local])) {
        values[local] = value;
        places[local] = other;
      }
    }
    workgroupBarrier();
  }
  if (local == 0u) { y[index] = f32(places[0]); }`,
  });
  gpu.run("argmax", make, [rows, columns], [x, y], { count: rows });
}
