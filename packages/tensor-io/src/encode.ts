import { byteLengthOf, type TensorDType } from "./dtype";
import { TensorIoError } from "./errors";
import { encodeQ8_0 } from "./gguf/encode-blocks";
import { encodeMinifloat, minifloatFormats, type Overflow } from "./minifloat";

export interface EncodeOptions {
  /**
   * For finite values beyond the largest of the type, and for infinities that the type lacks:
   * `"error"` (default) refuses them, `"saturate"` takes the largest finite value (for every infinity),
   * `"infinity"` gives infinity, or NaN in the types without one, as PyTorch does.
   */
  readonly overflow?: Overflow;
  /** What to call the values in an error. */
  readonly tensor?: string;
}

/** Writes codes; returns the index of the first value that it refuses, or -1. */
type Encoder = (
  values: Float32Array,
  overflow: Overflow,
  codes: Uint8Array | Uint16Array,
) => number;

/**
 * The storage of float32 values: F32, F64, F16, BF16 and the F8 types, rounded to the nearest value, ties to even.
 * NaN becomes NaN. F8_E8M0 holds powers of two from 2^-127 to 2^127; what is zero, negative or smaller counts
 * as overflow and saturates to 2^-127. Q8_0 (rows of whole blocks of 32) is quantised as ggml does and refuses values
 * beyond its scale under every `overflow`.
 * @throws TensorIoError ValueNotRepresentable with the index, MisalignedSlice, UnsupportedConversion for other types
 */
export function encodeFromF32(
  values: Float32Array,
  dtype: TensorDType,
  options: EncodeOptions = {},
): Uint8Array {
  if (dtype === "F32") return new Uint8Array(values.slice().buffer);
  if (dtype === "F64") return new Uint8Array(Float64Array.from(values).buffer);
  const encode = encoders[dtype];
  if (encode === undefined) {
    throw new TensorIoError("UnsupportedConversion", `f32 cannot be stored as ${dtype}`, { dtype });
  }
  const wide = dtype === "F16" || dtype === "BF16";
  const codes = wide
    ? new Uint16Array(values.length)
    : new Uint8Array(byteLengthOf(dtype, values.length));
  const refused = encode(values, options.overflow ?? "error", codes);
  if (refused >= 0) {
    const value = values[refused];
    const tensor = options.tensor ?? "values";
    throw new TensorIoError(
      "ValueNotRepresentable",
      `${tensor}: ${value} at index ${refused} is outside ${dtype}; store a wider type or choose an overflow`,
      { tensor, index: refused, value, dtype },
    );
  }
  return new Uint8Array(codes.buffer);
}

const encoders: Readonly<Partial<Record<TensorDType, Encoder>>> = {
  F8_E8M0: encodePowers,
  Q8_0: (values, _overflow, codes) => encodeQ8_0(values, codes as Uint8Array),
  ...Object.fromEntries(
    Object.entries(minifloatFormats).map(([dtype, format]): [string, Encoder] => [
      dtype,
      (values, overflow, codes) => encodeMinifloat(values, format, overflow, codes),
    ]),
  ),
};

/** code = round(log2(x)) + 127, where the middle between two powers goes up (IEEE 754: the larger of two odd neighbours). */
function encodePowers(
  values: Float32Array,
  overflow: Overflow,
  codes: Uint8Array | Uint16Array,
): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) {
    // Adding half of the mantissa's range carries into the exponent field.
    let code = (bits[i] + 0x400000) >>> 23;
    // Field 0 holds the subnormals, of which 2^-127 = 0x400000 and up round to a representable power.
    if (bits[i] < 0x300000) code = -1;
    else if (bits[i] < 0x600000) code = 0;
    if (Number.isNaN(values[i])) code = 255;
    else if (code < 0 || code > 254) {
      if (overflow === "error") return i;
      code = specialPower(values[i], overflow);
    }
    codes[i] = code;
  }
  return -1;
}

function specialPower(value: number, overflow: Exclude<Overflow, "error">): number {
  if (overflow === "infinity") return 255;
  return value > 1 ? 254 : 0;
}
