import { withContenders } from "../contender.mjs";
import { relaxedFlags } from "../engine.mjs";
import { interleave } from "../measure.mjs";
import { shapedModel } from "../model/models.mjs";
import { smollm2 } from "../model/shape.mjs";
import { against } from "../rows.mjs";

const group = "memory";

/** Layers of the smaller model; the larger has three times as many. */
const LAYERS = 4;
/** Few words, so that layers and not the embedding decide. */
const VOCABULARY = 4096;

/** Peak memory of converting a model and one of three times its layers: it should not grow with them. */
export async function memory({ progress }) {
  const spec = async (layers) => ({
    module: "ours-convert",
    options: {
      path: await shapedModel({ ...smollm2, layers, vocabulary: VOCABULARY }),
      conversion: { method: "transmla" },
      samples: 4,
      sequenceLength: 64,
    },
    flags: relaxedFlags,
  });
  const specs = { few: await spec(LAYERS), many: await spec(3 * LAYERS) };
  const results = await withContenders(specs, (some) =>
    // A process knows only its highest peak so far, so each does it once.
    interleave(some, {}, { repetitions: 1, warmups: 0, progress }),
  );
  const [few, many] = ["few", "many"].map((name) => results.get(name));
  return [
    against({
      group,
      name: `conversion, ${3 * LAYERS} layers of 576, peak`,
      ours: many.extra?.peak,
      limit: few.extra?.peak,
      limitName: `${LAYERS} layers`,
      unit: "MiB",
      missing: many.missing ?? few.missing,
      atMost: 1.1,
      note: `a layer has ${layerMiB().toFixed(1)} MiB in bf16`,
    }),
  ];
}

function layerMiB() {
  const { hidden, heads, kvHeads, headDim, feedForward } = smollm2;
  const numbers = 2 * hidden * headDim * (heads + kvHeads) + 3 * hidden * feedForward;
  return (2 * numbers) / 2 ** 20;
}
