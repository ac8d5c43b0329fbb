import type { Activation, Device, Expert, Tensor, Weight } from "@transmla/kernels";
import type {
  ExpertsFeedForwardConfig,
  FeedForwardConfig,
  GatedFeedForwardConfig,
} from "./config/model-config";
import { project, type Projection, type WeightLoader } from "./weights";

/** The feed-forward of a decoder layer: `[tokens, hidden]` (normalised) → `[tokens, hidden]`. */
export interface FeedForward {
  forward(x: Tensor): Tensor;
}

/** Loads the feed-forward that the config describes. */
export function loadFeedForward(
  loader: WeightLoader,
  config: FeedForwardConfig,
  prefix: string,
): Promise<FeedForward> {
  return config.kind === "gated"
    ? loadGated(loader, config, `${prefix}mlp.`)
    : loadExperts(loader, config, `${prefix}block_sparse_moe.`);
}

async function loadGated(
  loader: WeightLoader,
  { activation }: GatedFeedForwardConfig,
  prefix: string,
): Promise<FeedForward> {
  return new GatedFeedForward(
    loader.device,
    activation,
    await loader.projection(`${prefix}gate_proj`),
    await loader.projection(`${prefix}up_proj`),
    await loader.projection(`${prefix}down_proj`),
  );
}

/** `down(activation(gate x) * up x)` (arXiv 2002.05202). */
class GatedFeedForward implements FeedForward {
  constructor(
    private readonly device: Device,
    private readonly activation: Activation,
    private readonly gate: Projection,
    private readonly up: Projection,
    private readonly down: Projection,
  ) {}

  forward(x: Tensor): Tensor {
    const { device } = this;
    const gate = project(device, x, this.gate);
    const up = project(device, x, this.up);
    return project(device, device.gatedActivation(gate, up, this.activation), this.down);
  }
}

async function loadExperts(
  loader: WeightLoader,
  config: ExpertsFeedForwardConfig,
  prefix: string,
): Promise<FeedForward> {
  const router = await loader.matrix(`${prefix}gate.weight`);
  const experts: Expert[] = [];
  for (let expert = 0; expert < config.experts; expert++) {
    const at = `${prefix}experts.${expert}.`;
    experts.push({
      gate: await loader.matrix(`${at}w1.weight`),
      up: await loader.matrix(`${at}w3.weight`),
      down: await loader.matrix(`${at}w2.weight`),
    });
  }
  return new ExpertsFeedForward(loader.device, config, router, experts);
}

/** Mixtral's sparse mixture of gated feed-forwards (arXiv 2401.04088). */
class ExpertsFeedForward implements FeedForward {
  constructor(
    private readonly device: Device,
    private readonly config: ExpertsFeedForwardConfig,
    private readonly router: Weight,
    private readonly experts: readonly Expert[],
  ) {}

  forward(x: Tensor): Tensor {
    const { device, experts } = this;
    const { topK, activation } = this.config;
    const routerLogits = device.linear(x, this.router);
    return device.mixtureOfExperts({ x, routerLogits, experts, topK, activation });
  }
}
