import { cpuDevice } from "@transmla/kernels";
import { PagedCache } from "@transmla/latent-cache";
import { LatentAttention } from "./latent-attention.mjs";

// #region setup
const device = await cpuDevice();
const sizes = {
  hidden: 96,
  heads: 8,
  kvLoraRank: 32,
  ropeDim: 16,
  nopeDim: 16,
  valueDim: 16,
  positions: 256,
};

// Weights as they might come from a checkpoint: here sines, which are as
// good as random, and the same every time.
let seed = 0;
const numbers = (count) =>
  Float32Array.from({ length: count }, () => Math.sin(++seed * seed));
const makeWeight = (rows, columns) => {
  const weight = device.weight([rows, columns], "f32");
  const values = numbers(rows * columns).map(
    (value) => value / Math.sqrt(columns),
  );
  device.writeRows(weight, 0, new Uint8Array(values.buffer));
  return weight;
};

const layer = new LatentAttention(device, sizes, makeWeight);
const cache = new PagedCache(device, {
  layers: [layer.planes],
  capacity: 512,
  pageTokens: 16,
});
// #endregion setup

// #region decode
// Forty tokens: first as one prompt, then one by one from the cache.
const tokens = 40;
const input = numbers(tokens * sizes.hidden);
const prompt = layer.forward(
  device.tensor(input, [tokens, sizes.hidden]),
  cache,
  cache.open(),
);
const whole = await device.read(prompt);

const sequence = cache.open();
let difference = 0;
for (let t = 0; t < tokens; t++) {
  const row = input.slice(t * sizes.hidden, (t + 1) * sizes.hidden);
  const x = device.tensor(row, [1, sizes.hidden]);
  const y = await device.read(
    layer.forward(x, cache, sequence, "absorbed"),
  );
  for (const [i, value] of y.entries()) {
    difference = Math.max(
      difference,
      Math.abs(value - whole[t * sizes.hidden + i]),
    );
  }
}
console.log(
  "a prompt and single steps differ at most by",
  difference.toExponential(1),
);
// #endregion decode

const { heads, nopeDim, ropeDim, valueDim } = sizes;
const multiHead = heads * (nopeDim + ropeDim) + heads * valueDim;
console.log(
  `cached per token: ${cache.numbersPerToken} numbers;`,
  `the keys and values of all heads would be ${multiHead}`,
);
if (!(difference < 1e-4)) throw new Error("the two ways must agree");
device.destroy();
