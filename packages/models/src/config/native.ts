import { JsonNumber, type JsonValue } from "@transmla/tensor-io";
import { ModelsError } from "../errors";
import type { Fields } from "./fields";
import type {
  AttentionConfig,
  GroupedAttentionConfig,
  HeadNorms,
  LatentAttentionConfig,
} from "./model-config";

/** Version of the native format this code reads and writes. */
export const NATIVE_FORMAT_VERSION = 1;

/**
 * Reads the `transmla` section of a native config: the original config with, per layer, the sizes of its latent attention.
 *
 *     "transmla": {
 *       "version": 1, "base_model_type": "llama", "method": "transmla",
 *       "rope_frequencies": [[1, 0.56, …], …],
 *       "layers": [{ "kv_lora_rank": 96, "qk_rope_head_dim": 32, "qk_nope_head_dim": 64, "v_head_dim": 64,
 *                    "key_up_heads": 3, "value_up_heads": 3, "rope_frequencies": 0, "q_lora_rank": null,
 *                    "query_bias": false, "latent_bias": false, "output_bias": false }, …]
 *     }
 *
 * A layer names its list of `qk_rope_head_dim / 2` frequencies (radians per position) by index, because layers often share
 * one. Query heads, their norms, softmax scale, soft cap and sliding windows remain those of the original.
 */
export function latentLayers(
  native: Fields,
  layers: number,
  grouped: (layer: number) => GroupedAttentionConfig,
): AttentionConfig[] {
  const version = native.size("version");
  if (version !== NATIVE_FORMAT_VERSION) {
    throw new ModelsError(
      "UnsupportedModel",
      `${native.path}.version is ${version}; this version reads ${NATIVE_FORMAT_VERSION}. Convert the model again.`,
      { version },
    );
  }
  // Parsed once each: layers that name the same list share the array, and with it the table of angles.
  const frequencyLists = native.list("rope_frequencies").map(numbersOf);
  const entries = native.objects("layers");
  if (entries.length !== layers) {
    native.fail("layers", `a list of num_hidden_layers (${layers}) entries`, entries.length);
  }
  return entries.map((entry, layer) => latentLayer(entry, grouped(layer), frequencyLists));
}

function latentLayer(
  entry: Fields,
  original: GroupedAttentionConfig,
  frequencyLists: readonly Float64Array[],
): LatentAttentionConfig {
  const { heads, scale, window, softCap } = original;
  const headNorms = headNormsOf(original);
  const ropeDim = entry.count("qk_rope_head_dim");
  const nopeDim = entry.count("qk_nope_head_dim");
  if (headNorms && nopeDim !== 0 && nopeDim !== headNorms.headDim) {
    entry.fail("qk_nope_head_dim", `0 or head_dim (${headNorms.headDim})`, nopeDim);
  }
  const qLoraRank = entry.optionalSize("q_lora_rank");
  if (headNorms && qLoraRank !== undefined) {
    entry.fail("q_lora_rank", "null beside norms of the query heads", qLoraRank);
  }
  const list = entry.count("rope_frequencies", 0);
  return {
    kind: "mla",
    heads,
    scale,
    window,
    softCap,
    kvLoraRank: entry.size("kv_lora_rank"),
    ropeDim,
    nopeDim,
    headNorms,
    valueDim: entry.size("v_head_dim"),
    keyUpHeads: upHeads(entry, "key_up_heads", heads),
    valueUpHeads: upHeads(entry, "value_up_heads", heads),
    qLoraRank,
    frequencies: frequencyList(entry, frequencyLists[list], ropeDim),
    queryBias: entry.boolean("query_bias", false),
    latentBias: entry.boolean("latent_bias", false),
    outputBias: entry.boolean("output_bias", false),
  };
}

/** The norms that a converted attention keeps from its original. */
export function headNormsOf({
  headNormEpsilon: epsilon,
  headDim,
  kvHeads,
  inputBias: bias,
}: GroupedAttentionConfig): HeadNorms | undefined {
  return epsilon === undefined ? undefined : { epsilon, headDim, kvHeads, bias };
}

function upHeads(entry: Fields, name: string, heads: number): number {
  const value = entry.size(name);
  if (heads % value !== 0) entry.fail(name, `a divisor of num_attention_heads (${heads})`, value);
  return value;
}

/** The numbers of a list; NaN for what is none. */
function numbersOf(list: JsonValue): Float64Array {
  const values = Array.isArray(list) ? list : [list];
  return Float64Array.from(values, (value) =>
    value instanceof JsonNumber ? value.value : Number.NaN,
  );
}

function frequencyList(
  entry: Fields,
  list: Float64Array | undefined,
  ropeDim: number,
): Float64Array {
  // A layer without rotated components needs no list.
  if (ropeDim === 0) return new Float64Array();
  if (list?.length === ropeDim / 2 && list.every(Number.isFinite)) return list;
  return entry.fail(
    "rope_frequencies",
    `the index of a list of ${ropeDim / 2} numbers`,
    list?.length,
  );
}
