import type { Device, Tensor } from "@transmla/kernels";
import type { AttentionContext, AttentionLayer } from "./attention/attention-layer";
import { GroupedAttentionLayer } from "./attention/grouped";
import { LatentAttentionLayer } from "./attention/latent";
import type { AttentionConfig, ModelConfig } from "./config/model-config";
import { loadFeedForward, type FeedForward } from "./feed-forward";
import { attentionPrefix, layerPrefix } from "./tensors";
import type { WeightLoader } from "./weights";

/**
 * One pre-norm decoder layer, in steps that can be run apart:
 *
 *     h = x + attention(attentionInput(x))
 *     y = h + feedForward(norm(h))
 */
export class DecoderLayer {
  constructor(
    private readonly device: Device,
    private readonly epsilon: number,
    private readonly inputNorm: Tensor,
    readonly attention: AttentionLayer,
    private readonly postNorm: Tensor,
    private readonly feedForward: FeedForward,
  ) {}

  /** The normalised input of the attention: `[tokens, hidden]` → `[tokens, hidden]`. */
  attentionInput(x: Tensor): Tensor {
    return this.device.rmsNorm(x, this.inputNorm, this.epsilon);
  }

  /** The rest of the layer once the attention's output is known: residual sums and feed-forward. */
  finish(x: Tensor, attentionOutput: Tensor): Tensor {
    const { device } = this;
    const h = device.add(x, attentionOutput);
    return device.add(h, this.feedForward.forward(device.rmsNorm(h, this.postNorm, this.epsilon)));
  }

  /** `[tokens, hidden]` → `[tokens, hidden]`. Writes the batch's rows into the cache. */
  forward(x: Tensor, context: AttentionContext): Tensor {
    return this.finish(x, this.attention.forward(this.attentionInput(x), context));
  }
}

/** Loads one layer and nothing else of the model. */
export async function loadDecoderLayer(
  loader: WeightLoader,
  config: ModelConfig,
  layer: number,
): Promise<DecoderLayer> {
  const prefix = layerPrefix(layer);
  const { attention, feedForward } = config.layers[layer];
  return new DecoderLayer(
    loader.device,
    config.normEpsilon,
    await loader.vector(`${prefix}input_layernorm.weight`),
    await loadAttention(loader, attention, attentionPrefix(layer)),
    await loader.vector(`${prefix}post_attention_layernorm.weight`),
    await loadFeedForward(loader, feedForward, prefix),
  );
}

/** Loads one attention, grouped or latent, whose tensors begin with `prefix`. */
export function loadAttention(
  loader: WeightLoader,
  config: AttentionConfig,
  prefix: string,
): Promise<AttentionLayer> {
  return config.kind === "gqa"
    ? GroupedAttentionLayer.load(loader, config, prefix)
    : LatentAttentionLayer.load(loader, config, prefix);
}
