import { mostExpertsOf, type Fields } from "../config/fields";
import type {
  DeepseekExperts,
  ExpertsFeedForwardConfig,
  FeedForwardConfig,
  GatedFeedForwardConfig,
} from "../config/model-config";
import { ModelsError } from "../errors";
import type { DeepseekFamily } from "./config";

/**
 * The feed-forward of every layer of a DeepSeek config: dense in the first layers, then experts of which some are shared by all tokens.
 *
 * @param dense the feed-forward of a dense layer
 * @throws ModelsError `InvalidConfig`, `UnsupportedModel`
 */
export function deepseekFeedForwards(
  fields: Fields,
  layers: number,
  family: DeepseekFamily,
  dense: GatedFeedForwardConfig,
): FeedForwardConfig[] {
  const denseLayers = fields.count("first_k_dense_replace", family.denseLayers);
  // Sparse configs of dense models leave the experts' fields out, or say nothing true in them.
  const experts =
    denseLayers < layers ? expertsOf(fields, family, dense, mostExpertsOf(layers)) : dense;
  return Array.from({ length: layers }, (_, layer) => (layer < denseLayers ? dense : experts));
}

function expertsOf(
  fields: Fields,
  { routing, choiceBias }: DeepseekFamily,
  { activation, bias }: GatedFeedForwardConfig,
  most: number,
): ExpertsFeedForwardConfig {
  if (bias) throw unsupported(fields, "mlp_bias", "true together with experts");
  if (fields.size("moe_layer_freq", 1) !== 1) {
    throw unsupported(fields, "moe_layer_freq", "other than 1");
  }
  const intermediateSize = fields.size("moe_intermediate_size");
  const experts = fields.size("n_routed_experts", undefined, most);
  const topK = fields.size("num_experts_per_tok");
  const { groups, topGroups, ...others } = routing(fields);
  const groupSize = experts / groups;
  if (!Number.isInteger(groupSize)) fields.fail("n_group", `a divisor of ${experts}`, groups);
  if (topGroups > groups) fields.fail("topk_group", `at most ${groups}`, topGroups);
  if (topK > topGroups * groupSize) {
    fields.fail("num_experts_per_tok", `at most ${topGroups * groupSize}`, topK);
  }
  if (others.bestOfGroup > groupSize) {
    fields.fail("n_group", `at most ${experts / others.bestOfGroup}`, groups);
  }
  return {
    kind: "experts",
    intermediateSize,
    activation,
    experts,
    topK,
    deepseek: {
      routing: { groups, topGroups, ...others },
      choiceBias,
      sharedSize: intermediateSize * fields.count("n_shared_experts", 0),
    },
  };
}

/** V3: sigmoid scores with a bias for the choice; a group is worth its two best (arXiv 2412.19437). */
export function deepseekV3Routing(fields: Fields): DeepseekExperts["routing"] {
  return {
    scores: "sigmoid",
    groups: fields.size("n_group", 8),
    topGroups: fields.size("topk_group", 4),
    bestOfGroup: 2,
    normalise: fields.boolean("norm_topk_prob", true),
    scale: fields.positive("routed_scaling_factor", 2.5),
  };
}

/** V2: the softmax over all experts; a group is worth its best (arXiv 2405.04434). */
export function deepseekV2Routing(fields: Fields): DeepseekExperts["routing"] {
  const method = fields.optionalString("topk_method") ?? "greedy";
  if (method !== "greedy" && method !== "group_limited_greedy") {
    throw unsupported(fields, "topk_method", `"${method}"`);
  }
  // Published code disagrees about what it does together with the scaling factor.
  if (fields.boolean("norm_topk_prob", false)) throw unsupported(fields, "norm_topk_prob", "true");
  const grouped = method === "group_limited_greedy";
  return {
    scores: "softmax",
    groups: grouped ? fields.size("n_group") : 1,
    topGroups: grouped ? fields.size("topk_group") : 1,
    bestOfGroup: 1,
    normalise: false,
    scale: fields.positive("routed_scaling_factor", 1),
  };
}

function unsupported(fields: Fields, field: string, value: string): ModelsError {
  return new ModelsError(
    "UnsupportedModel",
    `${fields.path}.${field} is ${value}; this version cannot compute such experts.`,
    { field, value },
  );
}
