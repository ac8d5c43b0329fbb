import type { Device, Tensor } from "@transmla/kernels";
import type { AttentionContext, AttentionLayer } from "./attention/attention-layer";
import { GroupedAttentionLayer } from "./attention/grouped";
import { LatentAttentionLayer } from "./attention/latent";
import type { AttentionConfig, ModelConfig } from "./config/model-config";
import { loadFeedForward, type FeedForward } from "./feed-forward";
import { attentionPrefix, layerNormNames, layerPrefix } from "./tensors";
import type { WeightLoader } from "./weights";

/**
 * One decoder layer, in steps that can be run apart:
 *
 *     h = x + norm_2(attention(attentionInput(x)))
 *     y = h + norm_4(feedForward(norm_3(h)))
 *
 * `attentionInput` is the first norm; most families have no norms behind attention and feed-forward.
 */
export class DecoderLayer {
  constructor(
    private readonly device: Device,
    private readonly epsilon: number,
    private readonly norms: LayerNorms,
    readonly attention: AttentionLayer,
    private readonly feedForward: FeedForward,
  ) {}

  /** Whether the attention's output is normalised before it joins the residual stream. */
  get normalisesOutput(): boolean {
    return this.norms.attentionOutput !== undefined;
  }

  /** The normalised input of the attention: `[tokens, hidden]` → `[tokens, hidden]`. */
  attentionInput(x: Tensor): Tensor {
    return this.normed(x, this.norms.attentionInput);
  }

  /** The rest of the layer once the attention's output is known: residual sums and feed-forward. */
  finish(x: Tensor, attentionOutput: Tensor): Tensor {
    const { device, norms } = this;
    const h = device.add(x, this.normed(attentionOutput, norms.attentionOutput));
    const output = this.feedForward.forward(this.normed(h, norms.feedForwardInput));
    return device.add(h, this.normed(output, norms.feedForwardOutput));
  }

  /** `[tokens, hidden]` → `[tokens, hidden]`. Writes the batch's rows into the cache. */
  forward(x: Tensor, context: AttentionContext): Tensor {
    return this.finish(x, this.attention.forward(this.attentionInput(x), context));
  }

  private normed(x: Tensor, weight: Tensor | undefined): Tensor {
    return weight ? this.device.rmsNorm(x, weight, this.epsilon) : x;
  }
}

/** Weights of a layer's RMS norms, `[1, hidden]`. */
interface LayerNorms {
  readonly attentionInput: Tensor;
  readonly attentionOutput: Tensor | undefined;
  readonly feedForwardInput: Tensor;
  readonly feedForwardOutput: Tensor | undefined;
}

/** Loads one layer and nothing else of the model. */
export async function loadDecoderLayer(
  loader: WeightLoader,
  config: ModelConfig,
  layer: number,
): Promise<DecoderLayer> {
  const prefix = layerPrefix(layer);
  const { attention, feedForward } = config.layers[layer];
  const names = layerNormNames[config.layerNorms];
  const norm = (name: string) => loader.norm(`${prefix}${name}`, config.normOffset);
  return new DecoderLayer(
    loader.device,
    config.normEpsilon,
    {
      attentionInput: await norm(names.attentionInput),
      attentionOutput: names.attentionOutput ? await norm(names.attentionOutput) : undefined,
      feedForwardInput: await norm(names.feedForwardInput),
      feedForwardOutput: names.feedForwardOutput ? await norm(names.feedForwardOutput) : undefined,
    },
    await loadAttention(loader, attention, attentionPrefix(layer)),
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
