import type { Fields } from "./fields";
import { ModelsError } from "../errors";

/** Standard rotary frequencies `base^(-2f/ropeDim)`, `f < ropeDim/2` (arXiv 2104.09864), in radians per position. */
export function ropeFrequencies(ropeDim: number, base: number): Float64Array {
  return Float64Array.from({ length: ropeDim / 2 }, (_, f) => base ** ((-2 * f) / ropeDim));
}

/** What the unscaled frequencies were made of. */
interface Ladder {
  readonly ropeDim: number;
  readonly base: number;
}

type Scaling = (frequencies: Float64Array, fields: Fields, ladder: Ladder) => Float64Array;

/** Frequency scalings by the `rope_type` of Hugging Face configs. A scaling not listed here is refused by name. */
const scalings: Readonly<Record<string, Scaling>> = {
  default: (frequencies) => frequencies,

  /** Position interpolation (arXiv 2306.15595): all frequencies divided by `factor`. */
  linear(frequencies, fields) {
    const factor = fields.positive("factor");
    return frequencies.map((frequency) => frequency / factor);
  },

  /**
   * Llama 3.1: wavelengths beyond `original / low_freq_factor` are divided by `factor`, those below
   * `original / high_freq_factor` kept, with a linear blend between.
   */
  llama3(frequencies, fields) {
    const factor = fields.positive("factor");
    const low = fields.positive("low_freq_factor");
    const high = fields.positive("high_freq_factor");
    const original = fields.positive("original_max_position_embeddings");
    if (high <= low) {
      throw new ModelsError(
        "InvalidConfig",
        `${fields.path}: high_freq_factor (${high}) must exceed low_freq_factor (${low}).`,
      );
    }
    return frequencies.map((frequency) => {
      const turns = (original * frequency) / (2 * Math.PI);
      const blend = Math.min(1, Math.max(0, (turns - low) / (high - low)));
      return (1 - blend) * (frequency / factor) + blend * frequency;
    });
  },

  /**
   * YaRN (arXiv 2309.00071) with a magnitude of 1, as in DeepSeek configs: frequencies that turn more than `beta_fast` times within the
   * original length are kept, those that turn less than `beta_slow` times divided by `factor`, with a blend between.
   */
  yarn(frequencies, fields, { ropeDim, base }) {
    const factor = fields.positive("factor");
    refuseMagnitude(fields, factor);
    const original = fields.positive("original_max_position_embeddings");
    const place = (turns: number) =>
      (ropeDim * Math.log(original / (2 * Math.PI * turns))) / (2 * Math.log(base));
    const whole = fields.boolean("truncate", true);
    const first = place(fields.positive("beta_fast", 32));
    const last = place(fields.positive("beta_slow", 1));
    const low = Math.max(0, whole ? Math.floor(first) : first);
    const high = Math.min(ropeDim - 1, whole ? Math.ceil(last) : last);
    const width = high === low ? 1e-3 : high - low;
    return frequencies.map((frequency, f) => {
      const divided = Math.min(1, Math.max(0, (f - low) / width));
      return (1 - divided) * frequency + divided * (frequency / factor);
    });
  },
};

/** YaRN's factor on the softmax scale per `mscale`. */
export const yarnMagnitude = (factor: number, mscale: number): number =>
  factor > 1 ? 0.1 * mscale * Math.log(factor) + 1 : 1;

/** Rotated vectors longer than their originals need a factor on the angles' table, which no device has. */
function refuseMagnitude(fields: Fields, factor: number): void {
  const both = fields.has("mscale") && fields.has("mscale_all_dim");
  const quotient = both
    ? yarnMagnitude(factor, fields.positive("mscale")) /
      yarnMagnitude(factor, fields.positive("mscale_all_dim"))
    : yarnMagnitude(factor, 1);
  const magnitude = fields.positive("attention_factor", quotient);
  if (magnitude === 1) return;
  throw new ModelsError(
    "UnsupportedModel",
    `${fields.path}: "yarn" with an attention factor of ${magnitude.toPrecision(4)} is not supported, only of 1 (mscale equal to mscale_all_dim).`,
    { field: "rope_scaling", value: "yarn" },
  );
}

/** Frequencies of a Hugging Face config: `rope_theta`, adjusted by `rope_scaling`. Throws `UnsupportedModel`, `InvalidConfig`. */
export function configuredFrequencies(fields: Fields, ropeDim: number): Float64Array {
  const base = fields.positive("rope_theta", 10000);
  const frequencies = ropeFrequencies(ropeDim, base);
  const scaling = fields.optionalObject("rope_scaling");
  if (!scaling) return frequencies;
  const type = scaling.optionalString("rope_type") ?? scaling.optionalString("type") ?? "default";
  const scale = Object.hasOwn(scalings, type) ? scalings[type] : undefined;
  if (!scale) {
    throw new ModelsError(
      "UnsupportedModel",
      `${scaling.path}.rope_type is "${type}"; supported: ${Object.keys(scalings).join(", ")}.`,
      { field: "rope_scaling", value: type },
    );
  }
  return scale(frequencies, scaling, { ropeDim, base });
}
