import { defineKernel, gpujsDevice } from "@transmla/kernels-gpujs";

// #region logits
/** settings: width of a head, scale, cap */
const logits = defineKernel(
  "soft-capped logits",
  function (query, key, settings) {
    if (this.thread.x > this.thread.y) {
      return -1e30;
    }
    let sum = 0;
    for (let c = 0; c < settings[0]; c++) {
      sum += query[this.thread.y][c] * key[this.thread.x][c];
    }
    return settings[2] * Math.tanh((settings[1] * sum) / settings[2]);
  },
);
// #endregion logits

// #region mix
/** settings: number of keys */
const mix = defineKernel(
  "softmax times values",
  function (row, value, settings) {
    let largest = row[this.thread.y][0];
    for (let n = 1; n < settings[0]; n++) {
      largest = Math.max(largest, row[this.thread.y][n]);
    }
    let total = 0;
    let sum = 0;
    for (let n = 0; n < settings[0]; n++) {
      const weight = Math.exp(row[this.thread.y][n] - largest);
      total += weight;
      sum += weight * value[n][this.thread.x];
    }
    return sum / total;
  },
);
// #endregion mix

// #region run
const [tokens, width, cap] = [6, 8, 2];
const scale = 1 / Math.sqrt(width);
const numbers = (seed) =>
  Float32Array.from(
    { length: tokens * width },
    (_, i) => 3 * Math.sin(seed + i * i),
  );

const device = await gpujsDevice();
const [query, key, value] = [1, 2, 3].map((seed) =>
  device.tensor(numbers(seed), [tokens, width]),
);
const mine = device.scope(() => {
  const seen = device.run(
    logits,
    [query, key, Float32Array.of(width, scale, cap)],
    [tokens, tokens],
  );
  return device.run(mix, [seen, value, tokens], [tokens, width]);
});
// #endregion run

// #region compare
const slots = Int32Array.from({ length: tokens }, (_, t) => t);
const pool = { pages: 1, pageTokens: tokens, width };
const [keys, values] = [device.pagePool(pool), device.pagePool(pool)];
device.writePages(keys, key, slots);
device.writePages(values, value, slots);
const builtIn = device.groupedAttention({
  query,
  keys,
  values,
  heads: 1,
  kvHeads: 1,
  scale,
  softCap: cap,
  sequences: [
    {
      queryStart: 0,
      queryCount: tokens,
      length: tokens,
      pages: Int32Array.of(0),
    },
  ],
});

const expected = await device.read(builtIn);
const difference = Math.max(
  ...(await device.read(mine)).map((y, i) => Math.abs(y - expected[i])),
);
console.log(`on ${device.backend}: largest difference ${difference}`);
if (!(difference < 1e-5)) throw new Error("the two attentions differ");
device.destroy();
// #endregion compare
