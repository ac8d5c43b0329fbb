import type { Activation, Device, Expert, Routing, Tensor, Weight } from "@transmla/kernels";
import type { ExpertsFeedForwardConfig, FeedForwardConfig } from "./config/model-config";
import { CHOICE_BIAS, expertNames } from "./tensors";
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
    ? gatedFeedForward(loader, config.activation, `${prefix}mlp.`)
    : loadExperts(loader, config, prefix);
}

async function gatedFeedForward(
  loader: WeightLoader,
  activation: Activation,
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
  const { deepseek, activation } = config;
  const names = expertNames(deepseek !== undefined);
  const block = `${prefix}${names.block}.`;
  const router = await loader.matrix(`${block}gate.weight`);
  const experts: Expert[] = [];
  for (let expert = 0; expert < config.experts; expert++) {
    const at = `${block}experts.${expert}.`;
    experts.push({
      gate: await loader.matrix(`${at}${names.gate}.weight`),
      up: await loader.matrix(`${at}${names.up}.weight`),
      down: await loader.matrix(`${at}${names.down}.weight`),
    });
  }
  const bias = deepseek?.choiceBias ? await loader.numbers(`${block}${CHOICE_BIAS}`) : undefined;
  const routing = deepseek && { ...deepseek.routing, bias };
  const routed = new ExpertsFeedForward(loader.device, config, router, experts, routing);
  if (!deepseek?.sharedSize) return routed;
  const shared = await gatedFeedForward(loader, activation, `${block}shared_experts.`);
  return { forward: (x) => loader.device.add(routed.forward(x), shared.forward(x)) };
}

/** A sparse mixture of gated feed-forwards: Mixtral's (arXiv 2401.04088), or DeepSeek's by its routing. */
class ExpertsFeedForward implements FeedForward {
  constructor(
    private readonly device: Device,
    private readonly config: ExpertsFeedForwardConfig,
    private readonly router: Weight,
    private readonly experts: readonly Expert[],
    private readonly routing: Routing | undefined,
  ) {}

  forward(x: Tensor): Tensor {
    const { device, experts, routing } = this;
    const { topK, activation } = this.config;
    const routerLogits = device.linear(x, this.router);
    return device.mixtureOfExperts({ x, routerLogits, experts, topK, activation, routing });
  }
}
