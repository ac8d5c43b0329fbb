import { referenceDevice } from "@transmla/kernels";
import { encodeBlocks } from "../model/gguf-blocks.mjs";
import { randomNumbers, toBf16 } from "../random.mjs";
import { expectClose } from "./incorrect.mjs";

/** Rounding of float32 sums of this length, in a different order. */
const TOLERANCE = 2e-5;
/** Devices may round the other factor of a quantised weight or of cached bytes to 16 bits. */
const QUANTISED_TOLERANCE = 1e-4;

const cacheTolerance = (cache) => (cache === "i8" ? QUANTISED_TOLERANCE : TOLERANCE);

/** Runs `body(device)`, which returns a tensor, on the reference device too, and compares. */
async function checkAgainstReference(what, device, body, tolerance = TOLERANCE) {
  const reference = referenceDevice();
  try {
    expectClose(
      `${what} on ${device.name}`,
      await device.read(device.scope(() => body(device))),
      await reference.read(reference.scope(() => body(reference))),
      tolerance,
    );
  } finally {
    reference.destroy();
  }
}

/** A weight of random numbers on a device. */
export function randomWeight(device, [rows, columns], storage, seed, deviation = 1) {
  const values = randomNumbers(rows * columns, seed, deviation);
  const weight = device.weight([rows, columns], storage);
  device.writeRows(weight, 0, encoded(values, storage));
  return weight;
}

function encoded(values, storage) {
  if (storage === "q8_0") return encodeBlocks(values, "Q8_0");
  return new Uint8Array((storage === "bf16" ? toBf16(values) : values).buffer);
}

export function randomTensor(device, [rows, columns], seed) {
  return device.tensor(randomNumbers(rows * columns, seed), [rows, columns]);
}

/** A pool of pages filled with random numbers, and the page numbers of one sequence that holds all of it. */
export function randomPool(device, tokens, width, seed, storage = "f32") {
  const pageTokens = Math.min(tokens, 64);
  const pages = Math.ceil(tokens / pageTokens);
  const pool = device.pagePool({ pages, pageTokens, width, storage });
  for (let page = 0; page < pages; page++) {
    const rows = randomTensor(device, [pageTokens, width], seed + page);
    const slots = Int32Array.from({ length: pageTokens }, (_, i) => page * pageTokens + i);
    device.writePages(pool, rows, slots);
    device.release(rows);
  }
  return { pool, pages: Int32Array.from({ length: pages }, (_, page) => page) };
}

/** Prefill (many rows), decode (one) and what lies between, in sizes that leave remainders. */
export async function checkLinear(device, storage) {
  const quantised = storage === "q8_0";
  const [outputs, inputs] = quantised ? [75, 96] : [75, 100];
  for (const tokens of [1, 3, 37]) {
    await checkAgainstReference(
      `linear ${storage}, ${tokens} rows`,
      device,
      (on) =>
        on.linear(
          randomTensor(on, [tokens, inputs], 1),
          randomWeight(on, [outputs, inputs], storage, 2),
        ),
      quantised ? QUANTISED_TOLERANCE : TOLERANCE,
    );
  }
}

export async function checkGroupedAttention(device, cache) {
  for (const tokens of [1, 21]) {
    await checkAgainstReference(
      `grouped attention, ${tokens} queries`,
      device,
      (on) =>
        on.groupedAttention(
          groupedInput(on, { tokens, heads: 4, kvHeads: 2, headDim: 16, length: 150, cache }),
        ),
      cacheTolerance(cache),
    );
  }
}

export async function checkLatentAttention(device, cache) {
  const sizes = {
    heads: 4,
    upHeads: 2,
    kvLoraRank: 32,
    ropeDim: 8,
    headDim: 16,
    length: 150,
    cache,
  };
  for (const way of ["absorbed", "expanded"]) {
    for (const tokens of [1, 21]) {
      await checkAgainstReference(
        `latent attention ${way}, ${tokens} queries`,
        device,
        (on) => on.latentAttention({ ...latentInput(on, { ...sizes, tokens }), way }),
        cacheTolerance(cache),
      );
    }
  }
}

/** Random input of `Device.groupedAttention`: one sequence of `length` cached tokens, the last `tokens` of them queries. */
export function groupedInput(device, { tokens, heads, kvHeads, headDim, length, cache }) {
  const keys = randomPool(device, length, kvHeads * headDim, 10, cache);
  const values = randomPool(device, length, kvHeads * headDim, 1000, cache);
  return {
    query: randomTensor(device, [tokens, heads * headDim], 3),
    keys: keys.pool,
    values: values.pool,
    kvHeads,
    heads,
    scale: 1 / Math.sqrt(headDim),
    sequences: [{ queryStart: 0, queryCount: tokens, length, pages: keys.pages }],
  };
}

/** The same for `Device.latentAttention`, up-projections in bf16. */
export function latentInput(device, sizes) {
  const { tokens, heads, upHeads, kvLoraRank, ropeDim, headDim, length, cache } = sizes;
  const latents = randomPool(device, length, kvLoraRank, 10, cache);
  const up = (seed) =>
    randomWeight(device, [upHeads * headDim, kvLoraRank], "bf16", seed, 1 / Math.sqrt(kvLoraRank));
  return {
    queryNope: randomTensor(device, [tokens, heads * headDim], 3),
    queryRope: randomTensor(device, [tokens, heads * ropeDim], 4),
    latents: latents.pool,
    ropeKeys: randomPool(device, length, ropeDim, 1000, cache).pool,
    keyUp: up(5),
    keyUpHeads: upHeads,
    valueUp: up(6),
    valueUpHeads: upHeads,
    heads,
    scale: 1 / Math.sqrt(headDim + ropeDim),
    sequences: [{ queryStart: 0, queryCount: tokens, length, pages: latents.pages }],
  };
}
