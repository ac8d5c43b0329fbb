import type { Device, PagePool, Tensor } from "@transmla/kernels";
import type { CachePlane } from "@transmla/latent-cache";
import type { GroupedAttentionConfig } from "../config/model-config";
import { project, type Projection, type WeightLoader } from "../weights";
import type { AttentionContext, AttentionLayer } from "./attention-layer";

/** Grouped-query attention: keys and values of `kvHeads` heads are cached. */
export class GroupedAttentionLayer implements AttentionLayer {
  readonly planes: readonly CachePlane[];

  private constructor(
    private readonly device: Device,
    private readonly config: GroupedAttentionConfig,
    private readonly query: Projection,
    private readonly key: Projection,
    private readonly value: Projection,
    private readonly output: Projection,
  ) {
    const width = config.kvHeads * config.headDim;
    this.planes = [
      { name: "keys", width },
      { name: "values", width },
    ];
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
    const query = device.rope(project(device, x, this.query), rope, rotations.rows);
    const key = device.rope(project(device, x, this.key), rope, rotations.rows);
    device.writePages(keys, key, slots);
    const { heads, kvHeads, scale, window } = config;
    return device.groupedAttention({
      query,
      keys,
      values,
      heads,
      kvHeads,
      scale,
      window,
      sequences,
    });
  }

  forward(x: Tensor, context: AttentionContext): Tensor {
    return project(this.device, this.mix(x, context), this.output);
  }
}
