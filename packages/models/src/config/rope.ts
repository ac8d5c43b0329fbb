import type { Fields } from "./fields";
import { ModelsError } from "../errors";

/** Standard rotary frequencies `base^(-2f/ropeDim)`, `f < ropeDim/2` (arXiv 2104.09864), in radians per position. */
export function ropeFrequencies(ropeDim: number, base: number): Float64Array {
  return Float64Array.from({ length: ropeDim / 2 }, (_, f) => base ** ((-2 * f) / ropeDim));
}

type Scaling = (frequencies: Float64Array, fields: Fields) => Float64Array;

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
};

/** Frequencies of a Hugging Face config: `rope_theta`, adjusted by `rope_scaling`. Throws `UnsupportedModel`, `InvalidConfig`. */
export function configuredFrequencies(fields: Fields, ropeDim: number): Float64Array {
  const frequencies = ropeFrequencies(ropeDim, fields.positive("rope_theta", 10000));
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
  return scale(frequencies, scaling);
}
