import { ropeTable } from "@transmla/kernels";

/**
 * One layer of multi-head latent attention. Per token it caches a latent of
 * `kvLoraRank` numbers and one rotated key of `ropeDim`, for all heads.
 */
export class LatentAttention {
  constructor(device, sizes, makeWeight) {
    const {
      hidden,
      heads,
      kvLoraRank,
      ropeDim,
      nopeDim,
      valueDim,
      positions,
    } = sizes;
    this.device = device;
    this.sizes = sizes;
    this.queryNope = makeWeight(heads * nopeDim, hidden);
    this.queryRope = makeWeight(heads * ropeDim, hidden);
    this.latent = makeWeight(kvLoraRank, hidden);
    this.ropeKey = makeWeight(ropeDim, hidden);
    this.keyUp = makeWeight(heads * nopeDim, kvLoraRank);
    this.valueUp = makeWeight(heads * valueDim, kvLoraRank);
    this.output = makeWeight(hidden, heads * valueDim);
    const frequencies = Float64Array.from(
      { length: ropeDim / 2 },
      (_, f) => 10_000 ** ((-2 * f) / ropeDim),
    );
    this.table = ropeTable(device, frequencies, positions);
  }

  /** What `PagedCache` keeps per token of this layer. */
  get planes() {
    return [
      { name: "latents", width: this.sizes.kvLoraRank },
      { name: "rope-keys", width: this.sizes.ropeDim },
    ];
  }

  // #region forward
  /** The next tokens of a sequence: `[tokens, hidden]` → the same. */
  forward(x, cache, sequence, way = "auto") {
    const { device, sizes, table } = this;
    const count = x.shape[0];
    const positions = Int32Array.from(
      { length: count },
      (_, t) => sequence.length + t,
    );
    const slots = sequence.append(count);
    const [latents, ropeKeys] = cache.pool(0);
    return device.scope(() => {
      device.writePages(latents, device.linear(x, this.latent), slots);
      device.writePages(
        ropeKeys,
        device.rope(device.linear(x, this.ropeKey), table, positions),
        slots,
      );
      const mixed = device.latentAttention({
        queryNope: device.linear(x, this.queryNope),
        queryRope: device.rope(
          device.linear(x, this.queryRope),
          table,
          positions,
        ),
        latents,
        ropeKeys,
        keyUp: this.keyUp,
        keyUpHeads: sizes.heads,
        valueUp: this.valueUp,
        valueUpHeads: sizes.heads,
        heads: sizes.heads,
        scale: 1 / Math.sqrt(sizes.nopeDim + sizes.ropeDim),
        sequences: [
          {
            queryStart: 0,
            queryCount: count,
            length: sequence.length,
            pages: sequence.pages,
          },
        ],
        way,
      });
      return device.linear(mixed, this.output);
    });
  }
  // #endregion forward
}
