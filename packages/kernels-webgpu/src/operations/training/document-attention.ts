import type { deviceKit, DocumentAttention } from "@transmla/kernels";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes, type BufferUse, type Kernel, type ParamType } from "../../wgsl/kernel";
import { TANH } from "../../wgsl/functions";

/** Rows that a workgroup looks at together, one by each invocation. */
export const BLOCK = 64;

export type DocumentSizes = ReturnType<typeof deviceKit.checkDocumentAttention>;

/** An attention within documents on the GPU: what it is, and where its tensors are. */
export interface GpuDocumentAttention {
  readonly input: DocumentAttention;
  readonly sizes: DocumentSizes;
  readonly queries: readonly Block[];
  readonly keys: readonly Block[];
  readonly values: Block;
}

/** What tells the kernels apart. */
export interface AttentionVariant {
  readonly parts: number;
  readonly capped: boolean;
}

export const variantOf = ({ parts, softCap }: DocumentAttention): AttentionVariant => ({
  parts: parts.length,
  capped: softCap !== undefined,
});

/** Queries and keys of all parts, in the order of `factorBuffers`. */
export const factorBlocks = ({ queries, keys }: GpuDocumentAttention): Block[] =>
  queries.flatMap((query, part) => [query, keys[part]!]);

export const factorBuffers = ({ parts }: AttentionVariant): Record<string, BufferUse> =>
  Object.fromEntries(
    eachPart(parts, (p) => [
      [`q${p}`, reads("f32")],
      [`k${p}`, reads("f32")],
    ]).flat(),
  );

export const sizeParams = ({ parts }: AttentionVariant): Record<string, ParamType> => ({
  tokens: "u32",
  heads: "u32",
  valueHeads: "u32",
  valueDim: "u32",
  window: "u32",
  scale: "f32",
  cap: "f32",
  ...Object.fromEntries(
    eachPart(parts, (p) => [
      [`keyHeads${p}`, "u32" as const],
      [`width${p}`, "u32" as const],
    ]).flat(),
  ),
});

export function sizeNumbers({ input, sizes }: GpuDocumentAttention): number[] {
  const { heads, valueHeads, scale, softCap = 0, window, parts } = input;
  const { tokens, valueDim, widths } = sizes;
  return [
    tokens,
    heads,
    valueHeads,
    valueDim,
    // No document is longer than all of them.
    Math.min(window ?? tokens, tokens),
    scale,
    softCap,
    ...parts.flatMap(({ keyHeads }, p) => [keyHeads, widths[p]!]),
  ];
}

export const eachPart = <Result>(parts: number, make: (part: number) => Result): Result[] =>
  Array.from({ length: parts }, (_, part) => make(part));

/** WGSL: `logit_of(t, n, head)`: the logit of a query and a key, and how fast it rises with the product of the two. */
export function logitFunction({ parts, capped }: AttentionVariant): string {
  const products = eachPart(
    parts,
    (p) => /* wgsl */ `{
    let query = (t * params.heads + head) * params.width${p};
    let key = (n * params.keyHeads${p} + head * params.keyHeads${p} / params.heads) * params.width${p};
    for (var c = 0u; c < params.width${p}; c++) { sum = fma(q${p}[query + c], k${p}[key + c], sum); }
  }`,
  );
  const result = capped
    ? /* wgsl */ `
  let bent = hyperbolicTangent(params.scale * sum / params.cap);
  return vec2<f32>(params.cap * bent, params.scale * (1.0 - bent * bent));`
    : "return vec2<f32>(params.scale * sum, params.scale);";
  return /* wgsl */ `${capped ? TANH : ""}
fn logit_of(t: u32, n: u32, head: u32) -> vec2<f32> {
  var sum = 0.0;
  ${products.join("\n")}
  ${result}
}
/** The first row that a query sees. */
fn first_seen(t: u32, document: u32) -> u32 {
  return max(document, t + 1u - min(params.window, t + 1u));
}`;
}

/** First row of the document of every row. */
export function documentOfRows({ tokens, documents }: DocumentSizes): Int32Array {
  const rows = new Int32Array(tokens);
  for (const { first, count } of documents) rows.fill(first, first, first + count);
  return rows;
}

/** Attention within documents: output and the logarithms of the sums of exponentials. */
export function documentAttention(
  gpu: Gpu,
  attention: GpuDocumentAttention,
  [output, logSums]: readonly [Block, Block],
): void {
  const { input, sizes, values } = attention;
  const variant = variantOf(input);
  gpu.recorder.prepare(sizes.tokens, 1);
  const documents = gpu.recorder.integers(documentOfRows(sizes));
  gpu.run(
    `document-attention/${JSON.stringify(variant)}`,
    () => kernel(variant),
    [...sizeNumbers(attention), documents],
    [...factorBlocks(attention), values, output, logSums],
    { count: sizes.tokens * input.heads },
  );
}

/**
 * A workgroup for every head of every query, over blocks of keys with the softmax carried along (Milakov & Gimelshein,
 * arXiv 1805.02867): an invocation makes the weight of one key, then owns columns of the output.
 */
function kernel(variant: AttentionVariant): Kernel {
  return {
    name: "document attention",
    params: { ...sizeParams(variant), documents: "u32" },
    buffers: {
      ...factorBuffers(variant),
      values: reads("f32"),
      host: reads("u32"),
      y: writes("f32"),
      logSums: writes("f32"),
    },
    workgroup: BLOCK,
    declarations: /* wgsl */ `${logitFunction(variant)}
/** Of a logit that is not seen. */
const UNSEEN: f32 = -3.0e38;
/** Logits, then weights. */
var<workgroup> tile: array<f32, ${BLOCK}>;`,
    body: /* wgsl */ `
  if (index >= params.tokens * params.heads) { return; }
  let t = index / params.heads;
  let head = index % params.heads;
  let first = first_seen(t, host[params.documents + t]);
  let valueRow = params.valueHeads * params.valueDim;
  let valueStart = head * params.valueHeads / params.heads * params.valueDim;
  let out = index * params.valueDim;
  var largest = UNSEEN;
  var total = 0.0;
  for (var block = first; block <= t; block += ${BLOCK}u) {
    let count = min(${BLOCK}u, t + 1u - block);
    var logit = UNSEEN;
    if (local < count) { logit = logit_of(t, block + local, head).x; }
    tile[local] = logit;
    workgroupBarrier();
    let before = largest;
    for (var i = 0u; i < count; i++) { largest = max(largest, tile[i]); }
    workgroupBarrier();
    tile[local] = select(0.0, exp(logit - largest), local < count);
    workgroupBarrier();
    let shrink = exp(before - largest);
    total *= shrink;
    for (var i = 0u; i < count; i++) { total += tile[i]; }
    for (var c = local; c < params.valueDim; c += ${BLOCK}u) {
      var mixed = 0.0;
      if (block > first) { mixed = y[out + c] * shrink; }
      for (var i = 0u; i < count; i++) {
        mixed = fma(tile[i], values[(block + i) * valueRow + valueStart + c], mixed);
      }
      y[out + c] = mixed;
    }
    workgroupBarrier();
  }
  for (var c = local; c < params.valueDim; c += ${BLOCK}u) { y[out + c] /= total; }
  if (local == 0u) { logSums[index] = largest + log(total); }`,
  };
}
