import type { GroupedAttentionConfig } from "@transmla/models";
import { ConversionError } from "../errors";
import { invalid } from "../sizes";
import { readGroupedWeights } from "../weights";
import { exactConfig, exactLatent } from "./exact";
import type { ConversionMethod } from "./method";

/** Every layer as latent attention with the original's cache and logits; needs no calibration. */
export const exactMethod: ConversionMethod = {
  needsCalibration: false,

  sizes(original, { keep, kvLoraRank, ropeDim, freqFold, qLoraRank, steps }, { standardLadder }) {
    if (standardLadder) {
      throw new ConversionError(
        "UnsupportedFormat",
        "The exact method rotates every key/value head at the same frequencies, which only the native format can say. Use the native format, or method output-aware.",
      );
    }
    const given = { keep, kvLoraRank, ropeDim, freqFold, qLoraRank, steps };
    const named = Object.entries(given).find(([, value]) => value !== undefined);
    if (named) throw invalid(`The exact method has nothing to choose; leave ${named[0]} out.`);
    const config = exactConfig(original);
    return { kvLoraRank: config.kvLoraRank, ropeDim: config.ropeDim };
  },

  layerConfig: (original) => exactConfig(original),

  async start({ files, written }) {
    return {
      async convert(layer) {
        const original = files.config.layers[layer].attention as GroupedAttentionConfig;
        const grouped = await readGroupedWeights(files.checkpoint, original, layer);
        const weights = await written(layer, exactLatent(grouped, original));
        return { weights, keptEnergy: 1, outputError: 0 };
      },
    };
  },
};
