import type { Device, Tensor, Weight } from "@transmla/kernels";
import type { ModelConfig } from "./config/model-config";

/** The residual stream before the first layer, `[tokens, hidden]`. @param table `[vocab, hidden]` */
export function embedTokens(
  device: Device,
  { embeddingFactor }: Pick<ModelConfig, "embeddingFactor">,
  table: Weight,
  ids: Int32Array,
): Tensor {
  return device.embedding(table, ids, embeddingFactor);
}

/** Logits `[tokens, vocab]` of normalised states `[tokens, hidden]`. @param head `[vocab, hidden]` */
export function outputLogits(
  device: Device,
  { softCap }: Pick<ModelConfig, "softCap">,
  head: Weight,
  states: Tensor,
): Tensor {
  return device.scope(() => {
    const logits = device.linear(states, head);
    return softCap === undefined ? logits : device.softCap(logits, softCap);
  });
}
