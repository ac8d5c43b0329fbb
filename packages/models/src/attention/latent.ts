import type { Device, Tensor } from "@transmla/kernels";
import type { CachePlane } from "@transmla/latent-cache";
import type { LatentAttentionConfig } from "../config/model-config";
import { project, type Projection, type WeightLoader } from "../weights";
import type { Rotations } from "../rotations";
import type { AttentionContext, AttentionLayer, ScorePart } from "./attention-layer";
import { cachePlanes } from "./planes";
import { sequenceSlots } from "./slots";

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

  mix(x: Tensor, context: AttentionContext): Tensor {
    const { device, config, projections } = this;
    const { slots, sequences, pools, rotations, way } = context;
    const [latents, ropeKeys] = pools;
    const { headNorms, latentNorm, ropeKey } = projections;

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
      device.writePages(ropeKeys, this.rotated(normed?.key ?? x, ropeKey, rotations), slots);
    }

    return device.latentAttention({
      ...this.queries(x, normed?.query, rotations),
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

  scoreParts(x: Tensor, { rotations, sequences, pools }: AttentionContext): ScorePart[] {
    const { device, config } = this;
    const { headNorms, keyUp } = this.projections;
    const [latents, ropeKeys] = pools;
    const normed = headNorms && this.normedHeads(x, headNorms);
    const { queryNope, queryRope } = this.queries(x, normed?.query, rotations);
    const slots = sequenceSlots(latents!, sequences[0]!);
    const parts: ScorePart[] = [];
    if (queryNope) {
      const rows = device.readPages(latents!, slots);
      // Without an up-projection all heads meet the latent itself.
      const keys = keyUp ? device.linear(rows, keyUp.weight) : rows;
      parts.push({ query: queryNope, keys, groups: keyUp ? config.keyUpHeads : 1 });
    }
    if (queryRope && ropeKeys) {
      parts.push({ query: queryRope, keys: device.readPages(ropeKeys, slots), groups: 1 });
    }
    return parts;
  }

  /** Position-free and rotated queries, `[tokens, heads * nopeDim]` and `[tokens, heads * ropeDim]`; a part of size zero has none. */
  private queries(x: Tensor, normed: Tensor | undefined, rotations: Rotations) {
    const { device, config } = this;
    const { queryNope, queryRope } = this.projections;
    const q = normed ?? this.queryInput(x);
    const nope = queryNope ? project(device, q, queryNope) : normed;
    return {
      queryNope: config.nopeDim > 0 ? nope : undefined,
      queryRope: queryRope && this.rotated(q, queryRope, rotations),
    };
  }

  private rotated(input: Tensor, projection: Projection, rotations: Rotations): Tensor {
    const rope = rotations.table(this.config.frequencies)!;
    return this.device.rope(project(this.device, input, projection), rope, rotations.rows);
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
