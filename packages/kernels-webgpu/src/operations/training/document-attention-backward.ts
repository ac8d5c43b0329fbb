import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes, type Kernel } from "../../wgsl/kernel";
import { eachKernel, gridOfEach } from "../pointwise";
import {
  BLOCK,
  documentOfRows,
  eachPart,
  factorBlocks,
  factorBuffers,
  logitFunction,
  sizeNumbers,
  sizeParams,
  variantOf,
  type AttentionVariant,
  type DocumentSizes,
  type GpuDocumentAttention,
} from "./document-attention";

/** Results of the forward pass and the gradient of its output. */
export interface BackwardInputs {
  readonly output: Block;
  readonly logSums: Block;
  readonly dOutput: Block;
}

/** Where the gradients go. */
export interface BackwardResults {
  readonly dQueries: readonly Block[];
  readonly dKeys: readonly Block[];
  readonly dValues: Block;
}

/**
 * Gradients of `documentAttention`, with weights made again from the logarithms of their sums (arXiv 2205.14135). Three kernels: what
 * both others need of every query; gradients of queries, which sum over keys; gradients of keys and values, which sum over queries.
 * WebGPU promises eight buffers to a kernel, so each of the latter two writes one buffer with all its results in it, which are then copied.
 */
export function documentAttentionBackward(
  gpu: Gpu,
  attention: GpuDocumentAttention,
  inputs: BackwardInputs,
  { dQueries, dKeys, dValues }: BackwardResults,
): void {
  const { input, sizes } = attention;
  const { heads, parts, valueHeads } = input;
  const variant = variantOf(input);
  const key = JSON.stringify(variant);
  const { tokens, widths, valueDim } = sizes;
  const queryNumbers = widths.map((width) => tokens * heads * width);
  const keyNumbers = parts.map(({ keyHeads }, p) => tokens * keyHeads * widths[p]!);
  const groups = [valueHeads, ...parts.map(({ keyHeads }) => keyHeads)].reduce(greatestDivisor);
  gpu.temporarily((take) => {
    const queries = take(4 * sum(queryNumbers));
    const statistics = take(4 * tokens * (2 * heads + 2));
    const all = take(4 * (sum(keyNumbers) + tokens * valueHeads * valueDim));
    recordStatistics(gpu, attention, inputs, statistics);
    const factors = [...factorBlocks(attention), attention.values, inputs.dOutput, statistics];
    gpu.run(
      `document-queries/${key}`,
      () => queryKernel(variant),
      sizeNumbers(attention),
      [...factors, queries],
      { count: tokens * heads },
    );
    gpu.run(
      `document-keys/${key}`,
      () => keyKernel(variant),
      [...sizeNumbers(attention), groups],
      [...factors, all],
      { count: tokens * groups },
    );
    unpack(gpu, queries, dQueries, queryNumbers);
    unpack(gpu, all, [...dKeys, dValues], [...keyNumbers, tokens * valueHeads * valueDim]);
  });
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));

/** Copies what lies one after the other to where each belongs. */
function unpack(gpu: Gpu, from: Block, to: readonly Block[], numbers: readonly number[]): void {
  let at = 0;
  for (const [i, block] of to.entries()) {
    const bytes = 4 * numbers[i]!;
    gpu.recorder.copyBlock(from, at, block, bytes);
    at += bytes;
  }
}

/**
 * Words about every query. Of each head `[tokens][heads][2]`: the logarithm of its sum, and the product of output and gradient. Then of
 * each row `[tokens][2]`: where its document begins, and where it ends.
 */
function recordStatistics(
  gpu: Gpu,
  { input, sizes }: GpuDocumentAttention,
  { output, logSums, dOutput }: BackwardInputs,
  statistics: Block,
): void {
  const { tokens, valueDim } = sizes;
  gpu.recorder.prepare(2 * tokens, 2);
  const firsts = gpu.recorder.integers(documentOfRows(sizes));
  const ends = gpu.recorder.integers(endOfRows(sizes));
  const queries = tokens * input.heads;
  gpu.run(
    "document-statistics",
    statisticsKernel,
    [queries, tokens, valueDim, firsts, ends],
    [output, dOutput, logSums, statistics],
    gridOfEach(queries),
  );
}

function endOfRows({ tokens, documents }: DocumentSizes): Int32Array {
  const rows = new Int32Array(tokens);
  for (const { first, count } of documents) rows.fill(first + count, first, first + count);
  return rows;
}

function statisticsKernel(): Kernel {
  return eachKernel({
    name: "document attention, statistics",
    params: { tokens: "u32", valueDim: "u32", firsts: "u32", ends: "u32" },
    buffers: {
      output: reads("f32"),
      dOutput: reads("f32"),
      logSums: reads("f32"),
      host: reads("u32"),
      statistics: writes("u32"),
    },
    body: /* wgsl */ `
  var product = 0.0;
  for (var c = i * params.valueDim; c < (i + 1u) * params.valueDim; c++) {
    product = fma(output[c], dOutput[c], product);
  }
  statistics[2u * i] = bitcast<u32>(logSums[i]);
  statistics[2u * i + 1u] = bitcast<u32>(product);
  if (i < params.tokens) {
    statistics[2u * (params.count + i)] = host[params.firsts + i];
    statistics[2u * (params.count + i) + 1u] = host[params.ends + i];
  }`,
  });
}

/** What both kernels of gradients read, and how they come from a query and a key to weight and slope. */
function frame(variant: AttentionVariant) {
  return {
    buffers: {
      ...factorBuffers(variant),
      values: reads("f32"),
      dOutput: reads("f32"),
      statistics: reads("u32"),
      gradients: writes("f32"),
    },
    workgroup: BLOCK,
    declarations: /* wgsl */ `${logitFunction(variant)}
/** The weight of a key for a query, and the gradient of the product of the two. */
fn weight_and_slope(t: u32, n: u32, head: u32) -> vec2<f32> {
  let query = t * params.heads + head;
  let logit = logit_of(t, n, head);
  let weight = exp(logit.x - bitcast<f32>(statistics[2u * query]));
  let value = (n * params.valueHeads + head * params.valueHeads / params.heads) * params.valueDim;
  var gain = 0.0;
  for (var c = 0u; c < params.valueDim; c++) {
    gain = fma(dOutput[query * params.valueDim + c], values[value + c], gain);
  }
  let mean = bitcast<f32>(statistics[2u * query + 1u]);
  return vec2<f32>(weight, weight * (gain - mean) * logit.y);
}
var<workgroup> weights: array<f32, ${BLOCK}>;
var<workgroup> slopes: array<f32, ${BLOCK}>;`,
  } as const;
}

/** A workgroup for every head of every query: an invocation finds the slope of one key, then owns columns of the gradients. */
function queryKernel(variant: AttentionVariant): Kernel {
  return {
    name: "document attention, queries",
    params: sizeParams(variant),
    ...frame(variant),
    body: /* wgsl */ `
  let queries = params.tokens * params.heads;
  if (index >= queries) { return; }
  let t = index / params.heads;
  let head = index % params.heads;
  let first = first_seen(t, statistics[2u * (queries + t)]);
  for (var block = first; block <= t; block += ${BLOCK}u) {
    let count = min(${BLOCK}u, t + 1u - block);
    if (local < count) { slopes[local] = weight_and_slope(t, block + local, head).y; }
    workgroupBarrier();
    var segment = 0u;
    ${eachPart(
      variant.parts,
      (p) => /* wgsl */ `{
      let row = params.keyHeads${p} * params.width${p};
      let start = head * params.keyHeads${p} / params.heads * params.width${p};
      for (var c = local; c < params.width${p}; c += ${BLOCK}u) {
        let at = segment + index * params.width${p} + c;
        var sum = 0.0;
        if (block > first) { sum = gradients[at]; }
        for (var i = 0u; i < count; i++) {
          sum = fma(slopes[i], k${p}[(block + i) * row + start + c], sum);
        }
        gradients[at] = sum;
      }
      segment += queries * params.width${p};
    }`,
    ).join("\n")}
    workgroupBarrier();
  }`,
  };
}

/**
 * A workgroup for every key and every group of heads that share no key or value heads with others. Heads follow each other in order, and
 * so do the queries of each, so that sums do not depend on who is first.
 */
function keyKernel(variant: AttentionVariant): Kernel {
  return {
    name: "document attention, keys and values",
    params: { ...sizeParams(variant), groups: "u32" },
    ...frame(variant),
    body: /* wgsl */ `
  if (index >= params.tokens * params.groups) { return; }
  let n = index / params.groups;
  let heads = params.heads / params.groups;
  let firstHead = index % params.groups * heads;
  let end = min(statistics[2u * (params.tokens * params.heads + n) + 1u], n + params.window);
  for (var head = firstHead; head < firstHead + heads; head++) {
    for (var block = n; block < end; block += ${BLOCK}u) {
      let count = min(${BLOCK}u, end - block);
      if (local < count) {
        let both = weight_and_slope(block + local, n, head);
        weights[local] = both.x;
        slopes[local] = both.y;
      }
      workgroupBarrier();
      var segment = 0u;
      ${eachPart(variant.parts, (p) =>
        addToKeys({
          factors: "slopes",
          rows: `q${p}`,
          keyHeads: `params.keyHeads${p}`,
          width: `params.width${p}`,
        }),
      ).join("\n")}
      ${addToKeys({
        factors: "weights",
        rows: "dOutput",
        keyHeads: "params.valueHeads",
        width: "params.valueDim",
      })}
      workgroupBarrier();
    }
  }`,
  };
}

/** WGSL: adds a block's `factors` times `rows` of the queries to the gradient of one head of the key, or begins it. */
function addToKeys({
  factors,
  rows,
  keyHeads,
  width,
}: Readonly<Record<"factors" | "rows" | "keyHeads" | "width", string>>): string {
  return /* wgsl */ `{
        let sharing = params.heads / ${keyHeads};
        let start = segment + (n * ${keyHeads} + head / sharing) * ${width};
        let begins = head % sharing == 0u && block == n;
        for (var c = local; c < ${width}; c += ${BLOCK}u) {
          var sum = 0.0;
          if (!begins) { sum = gradients[start + c]; }
          for (var i = 0u; i < count; i++) {
            let row = (block + i) * params.heads + head;
            sum = fma(${factors}[i], ${rows}[row * ${width} + c], sum);
          }
          gradients[start + c] = sum;
        }
        segment += params.tokens * ${keyHeads} * ${width};
      }`;
}
