import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert, planConversion } from "@transmla/conversion";
import { openModel } from "@transmla/models";
import { fileSource, folder } from "@transmla/tensor-io";
import { randomTokens } from "../random.mjs";
import { openDevice } from "./device.mjs";

/** One conversion to a quarter of the cache, from opening the files to closing them. */
export async function start({ path, conversion, samples, sequenceLength, ...options }) {
  return {
    facts: {},
    run: async () => {
      const output = await mkdtemp(join(tmpdir(), "transmla-bench-"));
      const started = performance.now();
      try {
        const device = await openDevice(options);
        const files = await openModel(
          path.endsWith(".gguf") ? await fileSource(path) : folder(path),
        );
        const plan = planConversion(files, { keep: 0.25, dtype: "bf16", ...conversion });
        const { vocabSize } = files.config;
        const calibration = Array.from({ length: samples }, (_, i) =>
          randomTokens(sequenceLength, i, vocabSize),
        );
        await convert(plan, { device, calibration, output: folder(output) });
        await files.close();
        device.destroy();
      } finally {
        await rm(output, { recursive: true, force: true });
      }
      const seconds = (performance.now() - started) / 1e3;
      return { seconds, peak: process.resourceUsage().maxRSS / 1024 };
    },
  };
}
