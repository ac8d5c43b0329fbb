import type { CacheStorage } from "@transmla/kernels";
import { cacheFormats, poolReader } from "../../formats/cache-formats";
import { TANH } from "../../wgsl/functions";
import { HALVES } from "../../wgsl/halves";
import { reads, writes, type BufferUse, type Kernel, type ParamType } from "../../wgsl/kernel";
import { rowElement, rowReader } from "../../wgsl/rows";

/** How rows of keys or values lie, and whether their heads begin and end with whole quads. */
export interface PlaneVariant {
  readonly kind: CacheStorage | "restored" | "restored-unaligned";
  readonly aligned: boolean;
}

/** What tells the kernels of attention apart. */
export interface AttentionVariant {
  /** Pairs of a token and a head per workgroup: 4 or 16, or 8 where values are wide. */
  readonly pairs: number;
  /** One or two. */
  readonly parts: readonly PlaneVariant[];
  readonly values: PlaneVariant;
  /** Invocations that share out the quads of a value, a power of two, and how many quads each gets. */
  readonly columnLanes: number;
  readonly turns: number;
  readonly softCap: boolean;
  /** Leaves sums and statistics instead of the quotient. */
  readonly unfinished: boolean;
}

/** Columns of values among the invocations of a workgroup: see `AttentionVariant`. */
export function columnsOf(
  pairs: number,
  valueDim: number,
): Pick<AttentionVariant, "columnLanes" | "turns"> {
  const quads = Math.ceil(valueDim / 4);
  const wanted = 2 ** Math.ceil(Math.log2(quads));
  const columnLanes = Math.max(WORKGROUP / pairs, Math.min(WORKGROUP, wanted));
  return { columnLanes, turns: Math.ceil(quads / columnLanes) };
}

const WORKGROUP = 128;
/** Rows of keys that a workgroup looks at together. */
export const KEYS = 64;
/** Quads of a head that are held at a time. With 64 keys and 16 pairs all of it stays below 16 KiB. */
const DEPTH = 8;

/** A record of the table of sequences in `host`, and the rows of `host` that are pages. */
export const SEQUENCE = /* wgsl */ `
struct Sequence {
  /** The first workgroup after those of this sequence. */
  end: u32, queryStart: u32, queryCount: u32, length: u32, pages: u32, tiles: u32, splits: u32, splitRows: u32,
  /** The positions looked at. */
  first: u32, last: u32,
}
fn sequenceAt(s: u32) -> Sequence {
  let at = params.table + 10u * s;
  return Sequence(
    host[at], host[at + 1u], host[at + 2u], host[at + 3u], host[at + 4u],
    host[at + 5u], host[at + 6u], host[at + 7u], host[at + 8u], host[at + 9u]);
}`;

/**
 * Attention in blocks with the softmax carried along (Milakov & Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135). A
 * workgroup takes some pairs of a token and a head that share keys and values, and a range of positions. For every 64 of them it
 *
 * 1. adds up logits, a piece of the heads' width at a time, all pairs reading the same keys,
 * 2. turns them into weights relative to the largest logit so far,
 * 3. scales its sums by what that logit has grown, and adds weights times values: an invocation owns columns of some pairs.
 */
export function attentionKernel(variant: AttentionVariant): Kernel {
  const { pairs, parts, values, softCap, columnLanes, turns, unfinished } = variant;
  const outputs: Record<string, BufferUse> = unfinished
    ? { sums: writes("f32"), statistics: writes("vec2<f32>") }
    : { y: writes("f32") };
  const own = pairs / (WORKGROUP / columnLanes);
  return {
    name: `attention of ${pairs}`,
    params: attentionParams(parts.length),
    buffers: {
      ...Object.fromEntries(
        parts.flatMap((part, p) => [
          [`q${p}`, reads(rowElement(part.aligned))],
          [`k${p}`, reads(planeElement(part))],
        ]),
      ),
      v: reads(planeElement(values)),
      ...outputs,
      host: reads("u32"),
    },
    workgroup: WORKGROUP,
    declarations: [
      HALVES,
      softCap ? TANH : "",
      SEQUENCE,
      ...parts.flatMap((part, p) => [
        rowReader(`q${p}`, `params.k${p}Width`, part.aligned),
        planeReader(`k${p}`, part),
      ]),
      planeReader("v", values),
      shared(pairs),
      constants({ PAIRS: pairs, COLUMN_LANES: columnLanes, OWN: own, TURNS: turns }),
    ].join("\n"),
    body: [
      beginning(parts.length),
      unfinished ? resume : "",
      `for (var block = lowest; block < highest; block += ${KEYS}u) {`,
      blockRows(variant),
      logits(variant),
      weights(pairs),
      mixing(values),
      "}",
      "workgroupBarrier();",
      ending(unfinished),
    ].join("\n"),
  };
}

function constants(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `const ${name} = ${value}u;`)
    .join("\n");
}

function attentionParams(parts: number): Record<string, ParamType> {
  const planes = [...Array.from({ length: parts }, (_, p) => `k${p}`), "v"];
  return {
    table: "u32",
    sequences: "u32",
    workgroups: "u32",
    tokens: "u32",
    heads: "u32",
    group: "u32",
    pageTokens: "u32",
    window: "u32",
    resume: "u32",
    scale: "f32",
    cap: "f32",
    ...Object.fromEntries(
      planes.flatMap((name) =>
        ["Heads", "Width", "Stride", "Rows"].map((what) => [`${name}${what}`, "u32" as const]),
      ),
    ),
  };
}

const isPool = ({ kind }: PlaneVariant): boolean => kind in cacheFormats;

function planeElement({ kind }: PlaneVariant): string {
  if (kind === "restored" || kind === "restored-unaligned") return rowElement(kind === "restored");
  return cacheFormats[kind].element;
}

/** WGSL: `NAME_head(row, start, quad)`: four numbers of the head that starts at column `start`; zero beyond its width. */
function planeReader(name: string, { kind, aligned }: PlaneVariant): string {
  const stride = `params.${name}Stride`;
  const quads =
    kind === "restored" || kind === "restored-unaligned"
      ? rowReader(name, stride, kind === "restored")
      : poolReader(name, kind, stride, `params.${name}Rows`);
  if (aligned) {
    return `${quads}
fn ${name}_head(row: u32, start: u32, quad: u32) -> vec4<f32> { return ${name}_quad(row, start / 4u + quad); }`;
  }
  return /* wgsl */ `${quads}
fn ${name}_head(row: u32, start: u32, quad: u32) -> vec4<f32> {
  var value = vec4<f32>();
  for (var c = 0u; c < min(4u, params.${name}Width - 4u * quad); c++) {
    let column = start + 4u * quad + c;
    value[c] = ${name}_quad(row, column / 4u)[column % 4u];
  }
  return value;
}`;
}

function shared(pairs: number): string {
  return /* wgsl */ `
/** Of a logit that is not seen. */
const UNSEEN: f32 = -3.0e38;
var<workgroup> keyTile: array<vec4<f32>, ${DEPTH * KEYS}>;
var<workgroup> queryTile: array<vec4<f32>, ${DEPTH * pairs}>;
/** Logits, then weights: [pairs][${KEYS}]. */
var<workgroup> tile: array<f32, ${pairs * KEYS}>;
var<workgroup> largestOf: array<f32, ${WORKGROUP}>;
var<workgroup> sumOf: array<f32, ${WORKGROUP}>;
var<workgroup> largest: array<f32, ${pairs}>;
var<workgroup> total: array<f32, ${pairs}>;
var<workgroup> shrink: array<f32, ${pairs}>;
/** Row of every pair in the query, and the positions it sees, first and beyond the last; none where there is no such pair. */
var<workgroup> queryRow: array<u32, ${pairs}>;
var<workgroup> seenFrom: array<u32, ${pairs}>;
var<workgroup> seenTo: array<u32, ${pairs}>;
/** Slot of every position of the block. */
var<workgroup> slots: array<u32, ${KEYS}>;`;
}

function beginning(parts: number): string {
  return /* wgsl */ `
  if (index >= params.workgroups) { return; }
  var s = 0u;
  var task = index;
  for (; s + 1u < params.sequences; s++) {
    let end = host[params.table + 10u * s];
    if (index < end) { break; }
    task = index - end;
  }
  let sequence = sequenceAt(s);
  let split = task % sequence.splits;
  let firstPair = task / sequence.splits % sequence.tiles * PAIRS;
  let firstHead = task / sequence.splits / sequence.tiles * params.group;
  ${Array.from({ length: parts }, (_, p) => `let keyStart${p} = firstHead * params.k${p}Heads / params.heads * params.k${p}Width;`).join("\n")}
  let valueStart = firstHead * params.vHeads / params.heads * params.vWidth;
  let pairCount = min(PAIRS, sequence.queryCount * params.group - firstPair);
  let before = sequence.length - sequence.queryCount;
  if (local < PAIRS) {
    let pair = firstPair + local;
    let position = before + pair / params.group;
    queryRow[local] = (sequence.queryStart + pair / params.group) * params.heads + firstHead + pair % params.group;
    seenFrom[local] = position + 1u - min(position + 1u, params.window);
    seenTo[local] = select(0u, position + 1u, local < pairCount);
    largest[local] = UNSEEN;
    total[local] = 0.0;
  }
  // Positions that any pair sees, of those that are this workgroup's.
  let firstPosition = before + firstPair / params.group;
  let lastPosition = before + (firstPair + pairCount - 1u) / params.group;
  let splitFirst = sequence.first + split * sequence.splitRows;
  let lowest = max(splitFirst, firstPosition + 1u - min(firstPosition + 1u, params.window));
  let highest = min(min(splitFirst + sequence.splitRows, sequence.last), lastPosition + 1u);
  // An invocation owns some quads of some pairs.
  let valueQuads = (params.vWidth + 3u) / 4u;
  let columnLane = local % COLUMN_LANES;
  let firstOwn = local / COLUMN_LANES * OWN;
  var sum = array<vec4<f32>, OWN * TURNS>();`;
}

/** Slots of the block's positions. */
function blockRows({ parts, values }: AttentionVariant): string {
  const paged = [...parts, values].some(isPool);
  return /* wgsl */ `
    let count = min(${KEYS}u, highest - block);
    // Others may still be mixing the block before.
    workgroupBarrier();
    if (local < count) {
      let n = block + local;
      ${paged ? "slots[local] = host[sequence.pages + n / params.pageTokens] * params.pageTokens + n % params.pageTokens;" : ""}
    }
    workgroupBarrier();`;
}

/** The row of position `block + key` in a plane. */
function rowOf(plane: PlaneVariant, key: string): string {
  return isPool(plane) ? `slots[${key}]` : `block + ${key} - sequence.first`;
}

function logits({ parts, pairs, softCap }: AttentionVariant): string {
  const own = pairs / (WORKGROUP / KEYS);
  const products = parts.map(
    (part, p) => /* wgsl */ `
    let quads${p} = (params.k${p}Width + 3u) / 4u;
    for (var start = 0u; start < quads${p}; start += ${DEPTH}u) {
      for (var i = local; i < ${(KEYS + pairs) * DEPTH}u; i += ${WORKGROUP}u) {
        let quad = start + i % ${DEPTH}u;
        let row = i / ${DEPTH}u;
        var value = vec4<f32>();
        if (row < ${KEYS}u) {
          if (quad < quads${p} && row < count) { value = k${p}_head(${rowOf(part, "row")}, keyStart${p}, quad); }
          keyTile[i % ${DEPTH}u * ${KEYS}u + row] = value;
        } else {
          if (quad < quads${p} && row - ${KEYS}u < pairCount) { value = q${p}_quad(queryRow[row - ${KEYS}u], quad); }
          queryTile[i - ${KEYS * DEPTH}u] = value;
        }
      }
      workgroupBarrier();
      if (ownKey < count) {
        for (var d = 0u; d < min(${DEPTH}u, quads${p} - start); d++) {
          let value = keyTile[d * ${KEYS}u + ownKey];
          for (var i = 0u; i < ${own}u; i++) { x[i] += dot(queryTile[(ownPair + i) * ${DEPTH}u + d], value); }
        }
      }
      workgroupBarrier();
    }`,
  );
  const logit = "params.scale * x[i]";
  const capped = softCap ? `params.cap * hyperbolicTangent(${logit} / params.cap)` : logit;
  return /* wgsl */ `
    let ownKey = local % ${KEYS}u;
    let ownPair = local / ${KEYS}u * ${own}u;
    var x = array<f32, ${own}>();
    ${products.join("\n")}
    let n = block + ownKey;
    for (var i = 0u; i < ${own}u; i++) {
      let pair = ownPair + i;
      let seen = ownKey < count && n >= seenFrom[pair] && n < seenTo[pair];
      tile[pair * ${KEYS}u + ownKey] = select(UNSEEN, ${capped}, seen);
    }
    workgroupBarrier();`;
}

/** A few invocations per pair share the block's logits. */
function weights(pairs: number): string {
  const lanes = WORKGROUP / pairs;
  const each = Math.max(1, KEYS / lanes);
  return /* wgsl */ `
    let row = local / ${lanes}u;
    let part = local % ${lanes}u;
    let at = row * ${KEYS}u + part * ${each}u;
    var most = UNSEEN;
    for (var i = 0u; i < ${each}u; i++) { most = max(most, tile[at + i]); }
    largestOf[local] = most;
    workgroupBarrier();
    most = largest[row];
    for (var i = 0u; i < ${lanes}u; i++) { most = max(most, largestOf[row * ${lanes}u + i]); }
    var ownSum = 0.0;
    for (var i = 0u; i < ${each}u; i++) {
      let x = tile[at + i];
      let weight = select(exp(x - most), 0.0, x == UNSEEN);
      tile[at + i] = weight;
      ownSum += weight;
    }
    sumOf[local] = ownSum;
    workgroupBarrier();
    if (part == 0u) {
      let scale = exp(largest[row] - most);
      var all = total[row] * scale;
      for (var i = 0u; i < ${lanes}u; i++) { all += sumOf[row * ${lanes}u + i]; }
      total[row] = all;
      largest[row] = most;
      shrink[row] = scale;
    }
    workgroupBarrier();`;
}

/** Every value that is read serves all pairs of its invocation. */
function mixing(values: PlaneVariant): string {
  return /* wgsl */ `
    for (var i = 0u; i < OWN * TURNS; i++) { sum[i] *= shrink[firstOwn + i % OWN]; }
    for (var key = 0u; key < count; key++) {
      let valueRow = ${rowOf(values, "key")};
      for (var turn = 0u; turn < TURNS; turn++) {
        let quad = columnLane + turn * COLUMN_LANES;
        if (quad < valueQuads) {
          let value = v_head(valueRow, valueStart, quad);
          for (var i = 0u; i < OWN; i++) { sum[turn * OWN + i] += tile[(firstOwn + i) * ${KEYS}u + key] * value; }
        }
      }
    }`;
}

/** Runs `line` for every number that an invocation owns: `i`, `c` in `sum[i][c]`, `own` its pair, `at` its place in a result. */
function forOwn(row: string, line: string): string {
  return /* wgsl */ `
  for (var i = 0u; i < OWN * TURNS; i++) {
    let own = firstOwn + i % OWN;
    let column = (columnLane + i / OWN * COLUMN_LANES) * 4u;
    if (own < pairCount) {
      for (var c = 0u; c < 4u; c++) {
        let at = (${row}) * params.vWidth + column + c;
        if (column + c < params.vWidth) { ${line} }
      }
    }
  }`;
}

/** Takes up the sums of earlier positions. */
const resume = /* wgsl */ `
  if (params.resume == 1u) {
    workgroupBarrier();
    if (local < pairCount) {
      let known = statistics[queryRow[local]];
      largest[local] = known.x;
      total[local] = known.y;
    }
    ${forOwn("queryRow[own]", "sum[i][c] = sums[at];")}
  }
  workgroupBarrier();`;

function ending(unfinished: boolean): string {
  if (!unfinished) return forOwn("queryRow[own]", "y[at] = sum[i][c] / total[own];");
  const row = "split * params.tokens * params.heads + queryRow[own]";
  return /* wgsl */ `${forOwn(row, "sums[at] = sum[i][c];")}
  if (local < pairCount) {
    statistics[split * params.tokens * params.heads + queryRow[local]] = vec2<f32>(largest[local], total[local]);
  }`;
}
