import type { Device, Tensor } from "@transmla/kernels";
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

  forward(x: Tensor, { slots, sequences, pools, rotations }: AttentionContext): Tensor {
    const { device, config } = this;
    const [keys, values] = pools as [(typeof pools)[0], (typeof pools)[0]];
    const rope = rotations.table(config.frequencies)!;
    const query = device.rope(project(device, x, this.query), rope, rotations.rows);
    const key = device.rope(project(device, x, this.key), rope, rotations.rows);
    device.writePages(keys, key, slots);
    device.writePages(values, project(device, x, this.value), slots);
    const { heads, kvHeads, scale, window } = config;
    const mixed = device.groupedAttention({
      query,
      keys,
      values,
      heads,
      kvHeads,
      scale,
      window,
      sequences,
    });
    return project(device, mixed, this.output);
  }
}
