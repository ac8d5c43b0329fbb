import { cpuDevice } from "../../../packages/kernels/dist/index.js";
import { loadModel, openModel } from "../../../packages/models/dist/index.js";
import { fileSink, folder, writeSafetensors } from "../../../packages/tensor-io/dist/index.js";

/** Ids without structure: every position and every weight matters. Same numbers everywhere. */
export function idsWithoutStructure(count, vocabSize, seed = 1) {
  let state = seed;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % vocabSize;
  });
}

/**
 * Writes ids and the logits that our runtime gives them into `out` (`input_ids [1, count]`, `logits [1, count, vocabSize]`): half as a
 * prompt, half a token at a time from the latent cache.
 */
export async function writeLogits(path, out, count) {
  const device = await cpuDevice();
  const files = await openModel(folder(path));
  try {
    const { vocabSize } = files.config;
    const model = await loadModel(files, device);
    const ids = idsWithoutStructure(count, vocabSize);
    const cache = model.createCache({ capacity: count });
    const sequence = cache.open();
    const half = count >> 1;
    const logits = new Float32Array(count * vocabSize);
    for (let first = 0, size = half; first < count; first += size, size = 1) {
      const tokens = ids.subarray(first, first + size);
      const rows = model.forward(cache, [{ sequence, tokens }], "all");
      logits.set(await device.read(rows), first * vocabSize);
      device.release(rows);
    }
    await writeSafetensors(
      fileSink(out),
      new Map([
        ["input_ids", { shape: [1, count], data: Float32Array.from(ids) }],
        ["logits", { shape: [1, count, vocabSize], data: logits }],
      ]),
    );
  } finally {
    await files.close();
    device.destroy();
  }
}
