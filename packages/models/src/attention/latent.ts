import type { Device, Tensor } from "@transmla/kernels";
import type { CachePlane } from "@transmla/latent-cache";
import type { LatentAttentionConfig } from "../config/model-config";
import { project, type Projection, type WeightLoader } from "../weights";
import type { AttentionContext, AttentionLayer } from "./attention-layer";
import { cachePlanes } from "./planes";

/** Projections of a latent attention; a part of size zero has none. */
interface LatentProjections {
  readonly queryDown?: Projection | undefined;
  readonly queryNorm?: Tensor | undefined;
  readonly headNorms?: NormedHeads | undefined;
  readonly queryNope?: Projection | undefined;
  readonly queryRope?: Projection | undefined;
  readonly latent: Projection;
  readonly latentNorm?: Tensor | undefined;
  readonly ropeKey?: Projection | undefined;
  readonly keyUp?: Projection | undefined;
  readonly valueUp: Projection;
  readonly output: Projection;
}

/** Query and key heads that are normalised before anything is made of them. */
interface NormedHeads {
  readonly query: Projection;
  readonly key: Projection;
  /** Weights of the norms, `[1, headDim]`. */
  readonly queryNorm: Tensor;
  readonly keyNorm: Tensor;
  /** The part of the latent that comes from keys. */
  readonly latent: Projection | undefined;
}

/** Multi-head latent attention: one latent and one rotated key, shared by all heads, are cached. */
export class LatentAttentionLayer implements AttentionLayer {
  readonly planes: readonly CachePlane[];

  private constructor(
    private readonly device: Device,
    private readonly config: LatentAttentionConfig,
    private readonly projections: LatentProjections,
  ) {
    this.planes = cachePlanes(config);
  }

  static async load(
    loader: WeightLoader,
    config: LatentAttentionConfig,
    prefix: string,
  ): Promise<LatentAttentionLayer> {
    const norm = async (name: string, epsilon: number | undefined) =>
      epsilon === undefined ? undefined : loader.vector(`${prefix}${name}.weight`);
    return new LatentAttentionLayer(loader.device, config, {
      queryDown: await loader.optionalProjection(`${prefix}q_a_proj`),
      queryNorm: await norm("q_a_layernorm", config.queryNormEpsilon),
      headNorms: config.headNorms && (await loadNormedHeads(loader, prefix)),
      queryNope: await loader.optionalProjection(`${prefix}q_nope_proj`),
      queryRope: await loader.optionalProjection(`${prefix}q_rope_proj`),
      latent: await loader.projection(`${prefix}kv_a_proj`),
      latentNorm: await norm("kv_a_layernorm", config.latentNormEpsilon),
      ropeKey: await loader.optionalProjection(`${prefix}k_rope_proj`),
      keyUp: await loader.optionalProjection(`${prefix}k_b_proj`),
      valueUp: await loader.projection(`${prefix}v_b_proj`),
      output: await loader.projection(`${prefix}o_proj`),
    });
  }

  mix(x: Tensor, { slots, sequences, pools, rotations, way }: AttentionContext): Tensor {
    const { device, config, projections } = this;
    const [latents, ropeKeys] = pools;
    const { headNorms, queryNope, queryRope, latentNorm, ropeKey } = projections;
    const rope = rotations.table(config.frequencies);
    const rotated = (input: Tensor, projection: Projection) =>
      device.rope(project(device, input, projection), rope!, rotations.rows);

    const normed = headNorms && this.normedHeads(x, headNorms);
    const own = project(device, x, projections.latent);
    const latent = headNorms?.latent
      ? device.add(own, project(device, normed!.key, headNorms.latent))
      : own;
    const cached = latentNorm
      ? device.rmsNorm(latent, latentNorm, config.latentNormEpsilon!)
      : latent;
    device.writePages(latents!, cached, slots);
    if (ropeKey && ropeKeys) {
      device.writePages(ropeKeys, rotated(normed?.key ?? x, ropeKey), slots);
    }

    const q = normed?.query ?? this.queryInput(x);
    const nope = queryNope ? project(device, q, queryNope) : normed?.query;
    return device.latentAttention({
      queryNope: config.nopeDim > 0 ? nope : undefined,
      queryRope: queryRope && rotated(q, queryRope),
      latents: latents!,
      ropeKeys,
      keyUp: projections.keyUp?.weight,
      keyUpHeads: projections.keyUp && config.keyUpHeads,
      valueUp: projections.valueUp.weight,
      valueUpHeads: config.valueUpHeads,
      heads: config.heads,
      scale: config.scale,
      window: config.window,
      softCap: config.softCap,
      sequences,
      way,
    });
  }

  /** What queries are made of: the input, or the first factor of a low-rank query. */
  private queryInput(x: Tensor): Tensor {
    const { device, config } = this;
    const { queryDown, queryNorm } = this.projections;
    const down = queryDown ? project(device, x, queryDown) : x;
    return queryNorm ? device.rmsNorm(down, queryNorm, config.queryNormEpsilon!) : down;
  }

  private normedHeads(x: Tensor, { query, key, queryNorm, keyNorm }: NormedHeads) {
    const { device } = this;
    const { epsilon } = this.config.headNorms!;
    return {
      query: device.rmsNorm(project(device, x, query), queryNorm, epsilon),
      key: device.rmsNorm(project(device, x, key), keyNorm, epsilon),
    };
  }

  output(mixed: Tensor): Tensor {
    return project(this.device, mixed, this.projections.output);
  }

  forward(x: Tensor, context: AttentionContext): Tensor {
    return this.output(this.mix(x, context));
  }
}

async function loadNormedHeads(loader: WeightLoader, prefix: string): Promise<NormedHeads> {
  return {
    query: await loader.projection(`${prefix}q_proj`),
    key: await loader.projection(`${prefix}k_proj`),
    queryNorm: await loader.vector(`${prefix}q_norm.weight`),
    keyNorm: await loader.vector(`${prefix}k_norm.weight`),
    latent: await loader.optionalProjection(`${prefix}kv_a_key_proj`),
  };
}
