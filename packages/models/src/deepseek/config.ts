import { mostRotated, type Fields } from "../config/fields";
import type { DeepseekExperts, LatentAttentionConfig } from "../config/model-config";
import { configuredFrequencies, yarnMagnitude } from "../config/rope";

/** How a family that has latent attention from the start differs from DeepSeek-V3; part of its row in the table of families. */
export interface DeepseekFamily {
  /** Whether rotated pairs are stored adjacent (else half-split). */
  readonly interleaved: (fields: Fields) => boolean;
  /** Layers without experts at the start, where the config does not say. */
  readonly denseLayers: number;
  /** How tokens choose experts. */
  readonly routing: (fields: Fields) => DeepseekExperts["routing"];
  /** Whether experts have a bias for the choice. */
  readonly choiceBias: boolean;
}

/** Epsilon of the norms inside the attention: the models fix it, whatever `rms_norm_eps` says. */
export const LATENT_NORM_EPSILON = 1e-6;

/**
 * The attention of all layers of a config in the DeepSeek layout (arXiv 2405.04434, 2412.19437).
 *
 * @throws ModelsError `InvalidConfig`, `UnsupportedModel`
 */
export function deepseekAttention(
  fields: Fields,
  { interleaved }: DeepseekFamily,
): LatentAttentionConfig {
  // Checked here, so that a config is refused before its weights are opened.
  interleaved(fields);
  const heads = fields.size("num_attention_heads");
  const ropeDim = fields.size("qk_rope_head_dim", undefined, mostRotated);
  if (ropeDim % 2 !== 0) fields.fail("qk_rope_head_dim", "even, for rotary embeddings", ropeDim);
  const nopeDim = fields.size("qk_nope_head_dim");
  const qLoraRank = fields.optionalSize("q_lora_rank");
  const bias = fields.boolean("attention_bias", false);
  return {
    kind: "mla",
    heads,
    frequencies: configuredFrequencies(fields, ropeDim),
    scale: yarnScale(fields) / Math.sqrt(nopeDim + ropeDim),
    kvLoraRank: fields.size("kv_lora_rank"),
    ropeDim,
    nopeDim,
    valueDim: fields.size("v_head_dim"),
    keyUpHeads: heads,
    valueUpHeads: heads,
    latentNormEpsilon: LATENT_NORM_EPSILON,
    latentBias: bias,
    outputBias: bias,
    queryBias: false,
    qLoraRank,
    queryNormEpsilon: qLoraRank === undefined ? undefined : LATENT_NORM_EPSILON,
    queryDownBias: qLoraRank !== undefined && bias,
  };
}

/**
 * Squared YaRN magnitude on the softmax scale, wherever the config names `mscale_all_dim`. For V2 as well: DeepSeek's own code and vLLM have
 * it, only the V2 class of Hugging Face transformers (4.57) leaves it out.
 */
function yarnScale(fields: Fields): number {
  const scaling = fields.optionalObject("rope_scaling");
  if (!scaling?.has("mscale_all_dim")) return 1;
  return yarnMagnitude(scaling.positive("factor"), scaling.positive("mscale_all_dim")) ** 2;
}
