import type { LatentAttentionConfig } from "../config/model-config";
import type { TensorSpec } from "../tensors";

/** One of our tensors inside a fused one: the row of the fused tensor that holds each of its rows. */
export interface FusedPart {
  readonly name: string;
  readonly rows: Int32Array;
}

/** A tensor of a checkpoint in the DeepSeek layout: as ours, or fused of several of ours. */
export interface DeepseekTensor extends TensorSpec {
  readonly parts?: readonly FusedPart[];
}

/**
 * The projections that DeepSeek checkpoints store as one. Per head, position-free rows of the queries come before rotated ones and
 * key rows before value rows; the latent comes before the shared rotated key.
 *
 * @param interleaved whether rotated pairs are adjacent; ours are half-split
 */
export function fusedProjections(
  { heads, nopeDim, ropeDim, kvLoraRank, valueDim, qLoraRank }: LatentAttentionConfig,
  interleaved: boolean,
): { readonly name: string; readonly parts: readonly FusedPart[] }[] {
  const rotated = Array.from({ length: ropeDim }, (_, component) =>
    interleaved ? 2 * (component % (ropeDim / 2)) + (component < ropeDim / 2 ? 0 : 1) : component,
  );
  return [
    {
      name: qLoraRank === undefined ? "q_proj" : "q_b_proj",
      parts: [
        {
          name: "q_nope_proj",
          rows: headRows(heads, nopeDim + ropeDim, range(nopeDim), 0),
        },
        {
          name: "q_rope_proj",
          rows: headRows(heads, nopeDim + ropeDim, rotated, nopeDim),
        },
      ],
    },
    {
      name: "kv_a_proj_with_mqa",
      parts: [
        { name: "kv_a_proj", rows: Int32Array.from(range(kvLoraRank)) },
        { name: "k_rope_proj", rows: headRows(1, 0, rotated, kvLoraRank) },
      ],
    },
    {
      name: "kv_b_proj",
      parts: [
        {
          name: "k_b_proj",
          rows: headRows(heads, nopeDim + valueDim, range(nopeDim), 0),
        },
        {
          name: "v_b_proj",
          rows: headRows(heads, nopeDim + valueDim, range(valueDim), nopeDim),
        },
      ],
    },
  ];
}

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** `head * stride + start + order[i]`, head by head. */
function headRows(
  heads: number,
  stride: number,
  order: readonly number[],
  start: number,
): Int32Array {
  return Int32Array.from({ length: heads * order.length }, (_, row) => {
    const head = Math.floor(row / order.length);
    return head * stride + start + order[row % order.length];
  });
}

/** Our tensors of a model whose layers all have this attention, as the DeepSeek layout stores them. */
export function deepseekTensors(
  specs: readonly TensorSpec[],
  attention: LatentAttentionConfig,
  interleaved: boolean,
): DeepseekTensor[] {
  const projections = fusedProjections(attention, interleaved);
  const stored = new Map<string, DeepseekTensor>();
  for (const spec of specs) {
    const [, prefix, ours, kind] = /^(.*\.self_attn\.)(\w+)\.(weight|bias)$/.exec(spec.name) ?? [];
    const fused = projections.find(({ parts }) => parts.some(({ name }) => name === ours));
    if (!fused) {
      stored.set(spec.name, spec);
      continue;
    }
    const name = `${prefix}${fused.name}.${kind}`;
    const parts = fused.parts.map((part) => ({
      ...part,
      name: `${prefix}${part.name}.${kind}`,
    }));
    const rows = parts.reduce((sum, part) => sum + part.rows.length, 0);
    stored.set(name, { name, shape: [rows, ...spec.shape.slice(1)], parts });
  }
  return [...stored.values()];
}
