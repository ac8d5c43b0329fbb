import { deviceKit, type CacheStorage } from "@transmla/kernels";
import type { ModelConfig } from "@transmla/models";
import { attentionLoad, waysOf, type DecodeWay, type Sharing } from "./attention-load";
import { Deployment, type DecodeStep } from "./deployment";
import type { PlannedModel } from "./model-weights";
import type { Target } from "./targets";

/** What several plans have in common, so that they can be compared. */
export interface DeploymentSetting {
  readonly target: Target;
  /** Tokens in the cache for batch, speed and prompt. */
  readonly cached: number;
  readonly cacheStorage: CacheStorage;
  /** Sequences at once; absent: as many as fit. */
  readonly batch?: number | undefined;
  readonly sharing: Sharing;
}

/** One way to run one model on the target. */
export interface DeploymentRow {
  readonly way: DecodeWay;
  readonly kvLoraRank?: number;
  readonly ropeDim?: number;
  readonly cacheNumbersPerToken: number;
  /** On each device that has the sequence. */
  readonly cacheBytesPerToken: number;
  /** Of weights on each device. */
  readonly weightBytes: number;
  readonly fits: boolean;
  /** Null where windows bound the cache. */
  readonly longestContext: number | null;
  readonly largestBatch: number;
  /** One sequence, and all of the batch; null where it does not fit. */
  readonly single: DecodeStep | null;
  readonly batched: (DecodeStep & { readonly batch: number }) | null;
  readonly promptSeconds: number | null;
}

/** What the target does with the model, for every way of its attention (`waysOf`). Plain data. Throws what `Deployment` throws. */
export function deploymentRows(
  model: PlannedModel,
  setting: DeploymentSetting,
): readonly DeploymentRow[] {
  const { attention } = model.config.layers[0]!;
  return waysOf(attention).map((way) => ({
    ...(attention.kind === "mla" && {
      kvLoraRank: attention.kvLoraRank,
      ropeDim: attention.ropeDim,
    }),
    ...rowOf(model, setting, way),
  }));
}

function rowOf(model: PlannedModel, setting: DeploymentSetting, way: DecodeWay): DeploymentRow {
  const { target, cached, cacheStorage, sharing } = setting;
  const rowBytes = (width: number) => deviceKit.rowBytes(cacheStorage, width);
  const deployment = new Deployment(model, target, { way, sharing, rowBytes });
  const { longestContext } = deployment;
  const largestBatch = deployment.largestBatch(cached);
  const batch = setting.batch ?? largestBatch;
  const fits = largestBatch >= 1;
  const together = fits && batch <= largestBatch;
  return {
    way,
    cacheNumbersPerToken: cachedNumbers(model.config, way),
    cacheBytesPerToken: deployment.cacheBytes(1),
    weightBytes: deployment.weightBytes,
    fits,
    longestContext: Number.isFinite(longestContext) ? longestContext : null,
    largestBatch,
    single: fits ? deployment.decode(1, cached) : null,
    batched: together ? { batch, ...deployment.decode(batch, cached) } : null,
    promptSeconds: fits ? deployment.promptSeconds(cached) : null,
  };
}

/** Numbers per token of all layers, on all devices together if each number is kept once. */
function cachedNumbers({ layers }: ModelConfig, way: DecodeWay): number {
  return layers.reduce((sum, { attention }) => {
    const { planes } = attentionLoad(attention, way, "heads", 1);
    return sum + planes.reduce((width, more) => width + more, 0);
  }, 0);
}
