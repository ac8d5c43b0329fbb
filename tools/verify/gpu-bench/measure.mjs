// What the WebGPU device reaches of what a GPU can do. Runs in Node and in a page; every time is the GPU's own clock, best of several.

/** Sizes for a graphics card, and small ones that show on a software adapter that all of it runs. */
export const sizes = {
  full: {
    stream: 2 ** 28,
    square: 4096,
    prompts: [512, 2048],
    decode: [
      [1, 8192],
      [1, 32_768],
      [16, 8192],
    ],
    heads: 128,
    storages: ["f32", "f16", "bf16", "i8", "q8_0", "q4_0", "q4_k", "q6_k"],
    runs: 20,
  },
  small: {
    stream: 2 ** 20,
    square: 128,
    prompts: [32],
    decode: [[1, 256]],
    heads: 4,
    storages: ["f32", "f16", "q4_k"],
    runs: 2,
  },
};

/** Widths of DeepSeek-V2's attention (arXiv 2405.04434); it has 128 heads. */
const mla = { rank: 512, ropeDim: 64, nopeDim: 128, valueDim: 128 };
const COLUMNS = 4096;

const numbers = (count) =>
  Float32Array.from({ length: count }, (_, i) => ((i * 37) % 101) / 101 - 0.5);

/**
 * Measures in turn the bandwidth and the arithmetic that the device reaches, products with few rows and many, prefill and latent decode attention.
 *
 * @param device of `webgpuDevice()`
 * @param rowBytes `deviceKit.rowBytes`
 * @param {(row: { what: string, seconds: number, gigabytes?: number, teraflops?: number }) => void} onRow
 * @returns the limits: bytes and float32 operations per second
 */
export async function measure(device, rowBytes, size, onRow) {
  const { runs } = size;
  const best = async (body) => {
    let least = Infinity;
    for (let run = 0; run < runs; run++) {
      const start = performance.now();
      const seconds = await device.gpuSeconds(() => device.scope(() => void body()));
      least = Math.min(least, seconds ?? (performance.now() - start) / 1000);
    }
    return least;
  };
  const row = (what, seconds, bytes, flops) =>
    onRow({
      what,
      seconds,
      ...(bytes ? { gigabytes: bytes / seconds / 1e9 } : {}),
      ...(flops ? { teraflops: flops / seconds / 1e12 } : {}),
    });
  const limits = await machine(device, best, size, row);
  await products(device, rowBytes, best, size, row);
  await attention(device, best, size, row);
  return limits;
}

/** Adding two long vectors reads two and writes one; a square product is all arithmetic. */
async function machine(device, best, { stream, square }, row) {
  const shape = [stream / COLUMNS / 4, COLUMNS];
  const x = device.tensor(numbers(shape[0] * shape[1]), shape);
  const bytes = 3 * 4 * shape[0] * shape[1];
  const streamSeconds = await best(() => device.add(x, x));
  // The same vector twice is read once.
  row("add, bandwidth", streamSeconds, (bytes * 2) / 3);
  device.release(x);
  const { weight, bytes: _ } = filled(device, square, square, "f32", (n) => 4 * n);
  const y = device.tensor(numbers(square * square), [square, square]);
  const flops = 2 * square ** 3;
  const gemmSeconds = await best(() => device.linear(y, weight));
  row(`product ${square}³, f32`, gemmSeconds, 0, flops);
  for (const resource of [weight, y]) device.release(resource);
  return { bandwidth: (bytes * 2) / 3 / streamSeconds, gemm: flops / gemmSeconds };
}

async function products(device, rowBytes, best, { square, prompts, storages }, row) {
  const inputs = Math.max(256, square);
  for (const storage of storages) {
    const size = (columns) => rowBytes(storage, columns);
    const { weight, bytes } = filled(device, 4 * square, inputs, storage, size);
    for (const tokens of [1, 4, ...prompts]) {
      const x = device.tensor(numbers(tokens * inputs), [tokens, inputs]);
      const seconds = await best(() => device.linear(x, weight));
      row(
        `${tokens} x ${inputs} x ${4 * square}, ${storage}`,
        seconds,
        bytes,
        8 * tokens * inputs * square,
      );
      device.release(x);
    }
    device.release(weight);
  }
}

async function attention(device, best, { decode, prompts, heads }, row) {
  const { rank, ropeDim, nopeDim, valueDim } = mla;
  const { weight: keyUp } = filled(device, heads * nopeDim, rank, "f16", (n) => 2 * n);
  const { weight: valueUp } = filled(device, heads * valueDim, rank, "f16", (n) => 2 * n);
  const calls = [
    ...decode.map(([sequences, length]) => ({ sequences, length, queries: 1 })),
    ...prompts.map((length) => ({ sequences: 1, length, queries: length })),
  ];
  for (const { sequences, length, queries } of calls) {
    const pages = Math.ceil(length / 64);
    const layout = { pages: pages * sequences, pageTokens: 64, storage: "f16" };
    const latents = device.pagePool({ ...layout, width: rank });
    const ropeKeys = device.pagePool({ ...layout, width: ropeDim });
    fill(device, latents);
    fill(device, ropeKeys);
    const tokens = sequences * queries;
    const queryNope = device.tensor(numbers(tokens * heads * nopeDim), [tokens, heads * nopeDim]);
    const queryRope = device.tensor(numbers(tokens * heads * ropeDim), [tokens, heads * ropeDim]);
    const input = {
      queryNope,
      queryRope,
      latents,
      ropeKeys,
      keyUp,
      keyUpHeads: heads,
      valueUp,
      valueUpHeads: heads,
      heads,
      scale: 1 / Math.sqrt(nopeDim + ropeDim),
      sequences: Array.from({ length: sequences }, (_, s) => ({
        queryStart: s * queries,
        queryCount: queries,
        length,
        pages: Int32Array.from({ length: pages }, (_page, i) => s * pages + i),
      })),
    };
    const seconds = await best(() => device.latentAttention(input));
    const cache = 2 * sequences * length * (rank + ropeDim);
    const ups = 2 * heads * (nopeDim + valueDim) * rank;
    const seen = queries === 1 ? sequences * length : (length * (length + 1)) / 2;
    const name = queries === 1 ? `decode, ${sequences} of ${length}` : `prefill of ${length}`;
    row(`latent ${name}, f16`, seconds, cache + ups, 2 * seen * heads * (2 * rank + ropeDim));
    for (const resource of [latents, ropeKeys, queryNope, queryRope]) device.release(resource);
  }
}

/** A weight of some bytes. */
function filled(device, rows, columns, storage, rowBytes) {
  const weight = device.weight([rows, columns], storage);
  const size = rowBytes(columns);
  const step = Math.max(1, Math.floor(2 ** 22 / size));
  // 0.35 in every place that is read as 16 bits, and a small number as 32.
  const bytes = new Uint8Array(
    new Uint16Array((step * size) / 2 + 1).fill(0x35a0).buffer,
    0,
    step * size,
  );
  for (let row = 0; row < rows; row += step) {
    device.writeRows(weight, row, bytes.subarray(0, Math.min(step, rows - row) * size));
  }
  return { weight, bytes: rows * size };
}

function fill(device, pool) {
  const step = Math.min(8192, pool.pages * pool.pageTokens);
  const rows = device.tensor(numbers(step * pool.width), [step, pool.width]);
  for (let first = 0; first < pool.pages * pool.pageTokens; first += step) {
    const count = Math.min(step, pool.pages * pool.pageTokens - first);
    if (count < step) break;
    device.writePages(
      pool,
      rows,
      Int32Array.from({ length: step }, (_, i) => first + i),
    );
  }
  device.release(rows);
}
