import { fileURLToPath } from "node:url";
import { referenceDevice } from "@transmla/kernels";
import { folder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { loadModel } from "./load";
import { openModel } from "./open-model";

const tokens = Int32Array.from({ length: 24 }, (_, i) => (i * 37 + 5) % 90);

/** Keys of the first layer depend on token and position alone: moved back, they are what the shorter text has there. */
it.each(["llama", "deepseek-v3-yarn"])(
  "moves the keys of %s to earlier positions",
  async (name) => {
    const golden = fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
    const files = await openModel(folder(golden));
    const model = await loadModel(files, referenceDevice());
    await files.close();
    const plane = name === "llama" ? 0 : 1;
    const rowsOf = async (text: Int32Array, discarded: number) => {
      const cache = model.createCache({ capacity: 64, pageTokens: 8 });
      const sequence = cache.open();
      model.device.release(model.forward(cache, [{ sequence, tokens: text }]));
      if (discarded > 0) {
        sequence.discard(8, discarded);
        model.moveBack(cache, sequence, 8, discarded);
      }
      const { pages, length } = sequence;
      const slots = Int32Array.from({ length }, (_, n) => pages[n >> 3]! * 8 + (n & 7));
      return model.device.read(model.device.readPages(cache.pool(0)[plane]!, slots));
    };
    const expected = await rowsOf(
      Int32Array.of(...tokens.subarray(0, 8), ...tokens.subarray(16)),
      0,
    );
    const moved = await rowsOf(tokens, 8);
    expect(moved.length).toBe(expected.length);
    moved.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
  },
);
