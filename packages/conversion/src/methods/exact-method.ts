import type { GroupedAttentionConfig } from "@transmla/models";
import { invalid } from "../sizes";
import { readGroupedWeights } from "../weights";
import { exactConfig, exactLatent } from "./exact";
import type { ConversionMethod } from "./method";

/** Every layer as latent attention with the original's cache and logits; needs no calibration. */
export const exactMethod: ConversionMethod = {
  needsCalibration: false,

  sizes(original, { keep, kvLoraRank, ropeDim, freqFold, qLoraRank }) {
    const given = { keep, kvLoraRank, ropeDim, freqFold, qLoraRank };
    const named = Object.entries(given).find(([, value]) => value !== undefined);
    if (named) throw invalid(`The exact method has no sizes to choose; leave ${named[0]} out.`);
    const config = exactConfig(original);
    return { kvLoraRank: config.kvLoraRank, ropeDim: config.ropeDim };
  },

  layerConfig: (original) => exactConfig(original),

  async start({ files, encode }) {
    return {
      async convert(layer) {
        const original = files.config.layers[layer].attention as GroupedAttentionConfig;
        const grouped = await readGroupedWeights(files.checkpoint, original, layer);
        const weights = exactLatent(grouped, original);
        return {
          config: weights.config,
          tensors: encode(layer, weights),
          keptEnergy: 1,
          outputError: 0,
        };
      },
    };
  },
};
