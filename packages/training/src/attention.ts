import type {
  AttentionConfig,
  GroupedAttentionConfig,
  LatentAttentionConfig,
} from "@transmla/models";
import { documentAttention, rmsNorm, rotate, sum, type Rotation } from "./operations";
import type { Layer } from "./layer";
import type { Tape, Variable } from "./tape";

/** What attention needs to know of a batch. */
export interface AttentionContext {
  readonly documents: Int32Array;
  /** The rotation by a list of frequencies; nothing for an empty list. */
  readonly rotation: (frequencies: Float64Array) => Rotation | undefined;
}

/** Attention of normalised rows, output projection included: `[tokens, hidden]` → `[tokens, hidden]`. */
export function attention(
  tape: Tape,
  layer: Layer,
  config: AttentionConfig,
  x: Variable,
  context: AttentionContext,
): Variable {
  const mixed =
    config.kind === "gqa"
      ? grouped(tape, layer, config, x, context)
      : latent(tape, layer, config, x, context);
  return layer.project(tape, "self_attn.o_proj", mixed);
}

/** The model code of grouped attention (`GroupedAttentionLayer`), on a tape. */
function grouped(
  tape: Tape,
  layer: Layer,
  config: GroupedAttentionConfig,
  x: Variable,
  { documents, rotation }: AttentionContext,
): Variable {
  const { headNormEpsilon: epsilon, heads, kvHeads, scale, window, softCap } = config;
  const rotated = (name: string, norm: string) => {
    const rows = layer.project(tape, `self_attn.${name}`, x);
    const normed =
      epsilon === undefined
        ? rows
        : rmsNorm(tape, rows, layer.parameter(`self_attn.${norm}.weight`), epsilon);
    return rotate(tape, normed, rotation(config.frequencies)!);
  };
  const query = rotated("q_proj", "q_norm");
  const key = rotated("k_proj", "k_norm");
  const values = layer.project(tape, "self_attn.v_proj", x);
  const parts = [{ query, key, keyHeads: kvHeads }];
  const sizes = { heads, valueHeads: kvHeads, scale, window, softCap, documents };
  return documentAttention(tape, { parts, values, ...sizes });
}

/** The model code of latent attention (`LatentAttentionLayer`), on a tape, keys and values restored from the latents. */
function latent(
  tape: Tape,
  layer: Layer,
  config: LatentAttentionConfig,
  x: Variable,
  { documents, rotation }: AttentionContext,
): Variable {
  const { heads, keyUpHeads, valueUpHeads, scale, window, softCap } = config;
  const project = (name: string, input: Variable) =>
    layer.project(tape, `self_attn.${name}`, input);
  const normed = config.headNorms && normedHeads(tape, layer, config.headNorms.epsilon, x);

  const own = project("kv_a_proj", x);
  const joined =
    normed && layer.has("self_attn.kv_a_key_proj.weight")
      ? sum(tape, own, project("kv_a_key_proj", normed.key))
      : own;
  const latents = layer.norm(tape, "self_attn.kv_a_layernorm", joined, config.latentNormEpsilon);

  const queryInput = normed?.query ?? lowRankQuery(tape, layer, config, x);
  const parts = [];
  if (config.nopeDim > 0) {
    const query = normed ? normed.query : project("q_nope_proj", queryInput);
    parts.push({ query, key: project("k_b_proj", latents), keyHeads: keyUpHeads });
  }
  const turn = rotation(config.frequencies);
  if (config.ropeDim > 0 && turn) {
    const query = rotate(tape, project("q_rope_proj", queryInput), turn);
    const key = rotate(tape, project("k_rope_proj", normed?.key ?? x), turn);
    parts.push({ query, key, keyHeads: 1 });
  }
  const values = project("v_b_proj", latents);
  const sizes = { heads, valueHeads: valueUpHeads, scale, window, softCap, documents };
  return documentAttention(tape, { parts, values, ...sizes });
}

/** What queries are made of: the input, or the first factor of a low-rank query. */
function lowRankQuery(
  tape: Tape,
  layer: Layer,
  { qLoraRank, queryNormEpsilon }: LatentAttentionConfig,
  x: Variable,
): Variable {
  if (qLoraRank === undefined) return x;
  const down = layer.project(tape, "self_attn.q_a_proj", x);
  return layer.norm(tape, "self_attn.q_a_layernorm", down, queryNormEpsilon);
}

/** Queries and keys that are normalised before anything is made of them (`HeadNorms`). */
function normedHeads(tape: Tape, layer: Layer, epsilon: number, x: Variable) {
  const heads = (name: string, norm: string) =>
    layer.norm(tape, `self_attn.${norm}`, layer.project(tape, `self_attn.${name}`, x), epsilon);
  return { query: heads("q_proj", "q_norm"), key: heads("k_proj", "k_norm") };
}
