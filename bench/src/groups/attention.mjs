import { withContenders } from "../contender.mjs";
import { relaxedFlags } from "../engine.mjs";
import { interleave } from "../measure.mjs";
import { against, compare, milliseconds } from "../rows.mjs";

const group = "attention alone";

/** Llama-2-7B: 32 heads of 128; as MLA, latents of 512 and 64 rotated. Both cache float32. */
const llama = {
  tokens: 1,
  heads: 32,
  kvHeads: 32,
  upHeads: 32,
  headDim: 128,
  kvLoraRank: 512,
  ropeDim: 64,
};
/** SmolLM2-135M at 25 % cache, whose up-projections three heads share, and the layers that a token passes. */
const smollm2 = {
  tokens: 1,
  heads: 9,
  kvHeads: 3,
  upHeads: 3,
  headDim: 64,
  kvLoraRank: 64,
  ropeDim: 32,
};
const SMOLLM2_LAYERS = 8;

export async function attention({ quick, machine, progress }) {
  const length = quick ? 512 : 8192;
  const specs = {};
  const add = (name, options) => {
    for (const threads of [1, 2]) {
      specs[`${name} x${threads}`] = {
        module: "ours-attention",
        options: { ...options, threads },
        flags: relaxedFlags,
      };
    }
  };
  add("multi-head", { kind: "grouped", sizes: { ...llama, length } });
  add("latent", { kind: "latent", sizes: { ...llama, length } });
  add("small latent", { kind: "latent", sizes: { ...smollm2, length }, layers: SMOLLM2_LAYERS });
  const { results, products } = await withContenders(specs, async (contenders) => {
    const options = { repetitions: quick ? 3 : 9, progress };
    const latent = new Map([...contenders].filter(([name]) => name.startsWith("latent")));
    return {
      results: await interleave(contenders, { steps: 4 }, options),
      products: await interleave(latent, { steps: 0 }, options),
    };
  });
  const shape = `${llama.heads} heads, ${llama.kvLoraRank} + ${llama.ropeDim}, ${length} tokens`;
  const grouped = 2 * llama.kvHeads * llama.headDim;
  return [
    compare({
      group,
      name: `latent attention, ${shape}, 2 threads`,
      ours: results.get("latent x2"),
      peer: results.get("multi-head x2"),
      peerName: "ours, multi-head",
      unit: "steps/s",
      value: (seconds) => 1 / seconds,
      atLeast: 1.3,
    }),
    against({
      group,
      name: "numbers cached per token and layer",
      ours: grouped,
      limit: llama.kvLoraRank + llama.ropeDim,
      limitName: "latent",
      unit: "numbers",
      atLeast: 14,
    }),
    ...[1, 2].flatMap((threads) => {
      const limits = limitsOf(threads, machine, products.get(`latent x${threads}`));
      const small = `latent, 9 heads, 64 + 32, ${length} tokens`;
      return [
        limitRow(`latent, ${shape}`, results.get(`latent x${threads}`), {
          sizes: llama,
          length,
          layers: 1,
          limits,
        }),
        limitRow(small, results.get(`small latent x${threads}`), {
          sizes: smollm2,
          length,
          layers: SMOLLM2_LAYERS,
          limits,
        }),
      ];
    }),
  ];
}

/** Bytes and operations per second: measured bandwidth, and what our own matrix product reaches in the same run. */
function limitsOf(threads, { limits }, product) {
  const bandwidth = threads === 1 ? limits.read1 : limits.read2;
  return {
    threads,
    bandwidth: 1e9 * bandwidth.best,
    missing: product.missing,
    gemm: product.missing ? NaN : (1e9 * product.extra.gflop) / product.best,
  };
}

/** The time against the longer of reading the cache and of the multiply-adds. */
function limitRow(name, ours, { sizes, length, layers, limits }) {
  const { heads, kvLoraRank, ropeDim, upHeads, headDim } = sizes;
  const bytes = layers * (4 * length * (kvLoraRank + ropeDim) + 4 * upHeads * headDim * kvLoraRank);
  const flops =
    2 * layers * heads * (length * (2 * kvLoraRank + ropeDim) + 2 * headDim * kvLoraRank);
  const reading = bytes / limits.bandwidth;
  const computing = flops / limits.gemm;
  const ms = (seconds) => `${milliseconds(seconds).toFixed(2)} ms`;
  return against({
    group,
    name: `${name}, ${limits.threads === 1 ? "1 thread" : "2 threads"}`,
    ours: 1 / ours.best,
    limit: 1 / Math.max(reading, computing),
    limitName: computing > reading ? "limit of arithmetic" : "limit of reading",
    isLimit: true,
    unit: "steps/s",
    missing: ours.missing ?? limits.missing,
    atLeast: 0.7,
    note:
      (ours.missing ?? limits.missing)
        ? undefined
        : `${ms(reading)} to read, ${ms(computing)} to compute, ${ms(ours.best)} taken`,
  });
}
