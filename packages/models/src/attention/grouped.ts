import type { Device, PagePool, Tensor } from "@transmla/kernels";
import type { CachePlane } from "@transmla/latent-cache";
import type { GroupedAttentionConfig } from "../config/model-config";
import { project, type Projection, type WeightLoader } from "../weights";
import type { AttentionContext, AttentionLayer, ScorePart } from "./attention-layer";
import { cachePlanes } from "./planes";
import { sequenceSlots } from "./slots";

/** Weights of the norms of query and key heads, `[1, headDim]`. */
interface HeadNorms {
  readonly query: Tensor;
  readonly key: Tensor;
}

/** Grouped-query attention: keys and values of `kvHeads` heads are cached. */
export class GroupedAttentionLayer implements AttentionLayer {
  readonly planes: readonly CachePlane[];

  private constructor(
    private readonly device: Device,
    readonly config: GroupedAttentionConfig,
    private readonly query: Projection,
    private readonly key: Projection,
    private readonly value: Projection,
    private readonly outputProjection: Projection,
    private readonly norms: HeadNorms | undefined,
  ) {
    this.planes = cachePlanes(config);
  }

  static async load(
    loader: WeightLoader,
    config: GroupedAttentionConfig,
    prefix: string,
  ): Promise<GroupedAttentionLayer> {
    return new GroupedAttentionLayer(
      loader.device,
      config,
      await loader.projection(`${prefix}q_proj`),
      await loader.projection(`${prefix}k_proj`),
      await loader.projection(`${prefix}v_proj`),
      await loader.projection(`${prefix}o_proj`),
      config.headNormEpsilon !== undefined
        ? {
            query: await loader.vector(`${prefix}q_norm.weight`),
            key: await loader.vector(`${prefix}k_norm.weight`),
          }
        : undefined,
    );
  }

  mix(x: Tensor, context: AttentionContext): Tensor {
    const [, values] = context.pools as [PagePool, PagePool];
    this.device.writePages(values, project(this.device, x, this.value), context.slots);
    return this.mixOver(x, context, values);
  }

  /**
   * The attention's weights applied to other values than its own, written by the caller: `[tokens, heads * valueDim]` with
   * `valueDim = values.width / kvHeads`.
   */
  mixOver(x: Tensor, context: AttentionContext, values: PagePool): Tensor {
    const { device, config } = this;
    const { slots, sequences, pools, rotations } = context;
    const [keys] = pools as [PagePool, PagePool];
    const rope = rotations.table(config.frequencies)!;
    const still = this.beforeRotation(x);
    const query = device.rope(still.query, rope, rotations.rows);
    device.writePages(keys, device.rope(still.key, rope, rotations.rows), slots);
    const { heads, kvHeads, scale, window, softCap } = config;
    return device.groupedAttention({
      query,
      keys,
      values,
      heads,
      kvHeads,
      scale,
      window,
      softCap,
      sequences,
    });
  }

  /** Queries and keys, normalised where the family does so: `[tokens, heads * headDim]`, `[tokens, kvHeads * headDim]`. */
  beforeRotation(x: Tensor): { readonly query: Tensor; readonly key: Tensor } {
    const heads = (projection: Projection, norm: Tensor | undefined) => {
      const rows = project(this.device, x, projection);
      return norm ? this.device.rmsNorm(rows, norm, this.config.headNormEpsilon!) : rows;
    };
    return {
      query: heads(this.query, this.norms?.query),
      key: heads(this.key, this.norms?.key),
    };
  }

  scoreParts(x: Tensor, { rotations, sequences, pools: [keys] }: AttentionContext): ScorePart[] {
    const { device, config } = this;
    const rope = rotations.table(config.frequencies)!;
    return [
      {
        query: device.rope(this.beforeRotation(x).query, rope, rotations.rows),
        keys: device.readPages(keys!, sequenceSlots(keys!, sequences[0]!)),
        groups: config.kvHeads,
      },
    ];
  }

  output(mixed: Tensor): Tensor {
    return project(this.device, mixed, this.outputProjection);
  }

  forward(x: Tensor, context: AttentionContext): Tensor {
    return this.output(this.mix(x, context));
  }
}
