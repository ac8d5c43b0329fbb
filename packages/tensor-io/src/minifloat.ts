/** A floating-point format of 16 bits or fewer: sign, exponent, mantissa. */
export interface MinifloatFormat {
  readonly mantissaBits: number;
  /** Exponent of the smallest normal number. */
  readonly minExponent: number;
  /** The code of the sign bit alone. */
  readonly signBit: number;
  /** The code of the largest finite number. */
  readonly maxFinite: number;
  /** The code of positive infinity; absent in formats without infinities. */
  readonly infinity?: number;
  readonly nan: number;
  /** FNUZ formats: the code of negative zero is the only NaN. */
  readonly unsignedZero?: boolean;
}

/** The formats that PyTorch names float16, bfloat16, float8_e5m2, float8_e4m3fn, float8_e4m3fnuz and float8_e5m2fnuz. */
export const minifloatFormats = {
  F16: {
    mantissaBits: 10,
    minExponent: -14,
    signBit: 0x8000,
    maxFinite: 0x7bff,
    infinity: 0x7c00,
    nan: 0x7e00,
  },
  BF16: {
    mantissaBits: 7,
    minExponent: -126,
    signBit: 0x8000,
    maxFinite: 0x7f7f,
    infinity: 0x7f80,
    nan: 0x7fc0,
  },
  F8_E5M2: {
    mantissaBits: 2,
    minExponent: -14,
    signBit: 0x80,
    maxFinite: 0x7b,
    infinity: 0x7c,
    nan: 0x7f,
  },
  F8_E4M3: { mantissaBits: 3, minExponent: -6, signBit: 0x80, maxFinite: 0x7e, nan: 0x7f },
  F8_E4M3FNUZ: {
    mantissaBits: 3,
    minExponent: -7,
    signBit: 0x80,
    maxFinite: 0x7f,
    nan: 0x80,
    unsignedZero: true,
  },
  F8_E5M2FNUZ: {
    mantissaBits: 2,
    minExponent: -15,
    signBit: 0x80,
    maxFinite: 0x7f,
    nan: 0x80,
    unsignedZero: true,
  },
} as const satisfies Record<string, MinifloatFormat>;

/** The value of one code. */
export function decodeMinifloat(code: number, format: MinifloatFormat): number {
  const { mantissaBits, minExponent, signBit } = format;
  const sign = (code & signBit) === 0 ? 1 : -1;
  const magnitude = code & (signBit - 1);
  if (format.unsignedZero && code === signBit) return NaN;
  if (magnitude > format.maxFinite) return magnitude === format.infinity ? sign * Infinity : NaN;
  const field = magnitude >> mantissaBits;
  const fraction = magnitude & ((1 << mantissaBits) - 1);
  // Exponent field 0 has no hidden one and the exponent of field 1.
  const significand = field === 0 ? fraction : fraction + (1 << mantissaBits);
  return sign * significand * 2 ** (Math.max(field, 1) - 1 + minExponent - mantissaBits);
}

/** The values of all codes of a format, indexed by code. */
export function minifloatTable(format: MinifloatFormat): Float32Array {
  return Float32Array.from({ length: format.signBit * 2 }, (_, code) =>
    decodeMinifloat(code, format),
  );
}

let f16Values: Float32Array | undefined;

/** The values of all 65,536 float16 codes. */
export function f16Table(): Float32Array {
  return (f16Values ??= minifloatTable(minifloatFormats.F16));
}

/** What to do with a finite value whose rounded magnitude exceeds the format, and with NaN or infinity it lacks. */
export type Overflow = "error" | "saturate" | "infinity";

// Adding and subtracting 2^52 rounds a smaller non-negative float64 to an integer, ties to even.
const toInteger = 2 ** 52;

/**
 * Writes the codes nearest to `values`, ties to even, into `codes`.
 *
 * With `e` the exponent of `|x|` (at least that of the smallest normal) and `m` mantissa bits,
 * `code = round(|x| / 2^(e - m)) + (e - eMin) * 2^m`: the hidden one carries into the exponent field.
 * @returns the index of the first value that cannot be represented under `"error"`, or -1
 */
export function encodeMinifloat(
  values: Float32Array,
  format: MinifloatFormat,
  overflow: Overflow,
  codes: Uint8Array | Uint16Array,
): number {
  const { signBit, maxFinite } = format;
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const { scale, base } = exponentTables(format);
  for (let i = 0; i < values.length; i++) {
    const field = (bits[i] >>> 23) & 0xff;
    const magnitude = Math.abs(values[i]);
    let code = base[field] + (magnitude * scale[field] + toInteger - toInteger);
    if (field === 0xff || code > maxFinite) {
      const special = specialCode(values[i], format, overflow);
      if (special === undefined) return i;
      code = special;
    }
    const signed =
      bits[i] >>> 31 !== 0 && !(format.unsignedZero && (code === 0 || code === signBit));
    codes[i] = signed ? code | signBit : code;
  }
  return -1;
}

function specialCode(
  value: number,
  format: MinifloatFormat,
  overflow: Overflow,
): number | undefined {
  if (Number.isNaN(value)) return format.nan;
  if (overflow === "saturate") return format.maxFinite;
  if (overflow === "infinity") return format.infinity ?? format.nan;
  return Number.isFinite(value) ? undefined : format.infinity;
}

interface ExponentTables {
  /** By the exponent field of the float32: 2^(m - e). */
  readonly scale: Float64Array;
  /** By the exponent field of the float32: (e - eMin) * 2^m. */
  readonly base: Float64Array;
}

const tables = new WeakMap<MinifloatFormat, ExponentTables>();

function exponentTables(format: MinifloatFormat): ExponentTables {
  const known = tables.get(format);
  if (known !== undefined) return known;
  const { mantissaBits, minExponent } = format;
  const exponents = Array.from({ length: 256 }, (_, field) => Math.max(field - 127, minExponent));
  const made = {
    scale: Float64Array.from(exponents, (e) => 2 ** (mantissaBits - e)),
    base: Float64Array.from(exponents, (e) => (e - minExponent) * 2 ** mantissaBits),
  };
  tables.set(format, made);
  return made;
}
