import { byteLengthOf, storageBlock, type TensorDType } from "./dtype";
import { TensorIoError } from "./errors";
import { blockDecoders } from "./gguf/blocks";
import { f16Table, minifloatFormats, minifloatTable } from "./minifloat";
import { allocate } from "./source";

/** Fills `out` with the values stored in `bytes`; the lengths are known to fit. */
type Decoder = (bytes: Uint8Array, out: Float32Array) => void;

/**
 * The values stored in `bytes` as float32.
 *
 * Exact for every type of at most 16 bits, the quantised blocks included (bit for bit as the `gguf` package of llama.cpp). F64, I32, U32,
 * I64 and U64 are rounded; BOOL gives 0 and 1. F4 has its first value in the low half of the byte, as PyTorch packs it.
 * The bytes need not be aligned.
 * @param count values, when the caller knows how many there must be
 * @throws TensorIoError UnsupportedConversion (C64, F6_E2M3, F6_E3M2), ByteLengthMismatch, MisalignedSlice, UnknownDType
 */
export function decodeToF32(bytes: Uint8Array, dtype: TensorDType, count?: number): Float32Array {
  const { elements, bytes: blockBytes } = storageBlock(dtype);
  const values = count ?? Math.floor(bytes.byteLength / blockBytes) * elements;
  const expected = byteLengthOf(dtype, values);
  if (expected !== bytes.byteLength) {
    throw new TensorIoError(
      "ByteLengthMismatch",
      `${values} values of ${dtype} take ${expected} bytes, not ${bytes.byteLength}`,
      { dtype, count: values, expected, actual: bytes.byteLength },
    );
  }
  const decode = decoderOf(dtype);
  const out = allocate(dtype, values * 4, () => new Float32Array(values));
  decode(bytes, out);
  return out;
}

/** The decoder of an element type. @throws TensorIoError UnsupportedConversion */
export function decoderOf(dtype: TensorDType): Decoder {
  const decode = decoders[dtype];
  if (decode !== undefined) return decode;
  throw new TensorIoError(
    "UnsupportedConversion",
    `${dtype} cannot be read as f32; read its bytes instead`,
    { dtype },
  );
}

const decoders: Readonly<Partial<Record<TensorDType, Decoder>>> = {
  BOOL: (bytes, out) => {
    for (let i = 0; i < out.length; i++) out[i] = bytes[i] === 0 ? 0 : 1;
  },
  F4: decodeF4,
  U8: (bytes, out) => out.set(bytes),
  I8: (bytes, out) => out.set(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
  F8_E5M2: byteTable(() => minifloatTable(minifloatFormats.F8_E5M2)),
  F8_E4M3: byteTable(() => minifloatTable(minifloatFormats.F8_E4M3)),
  // 2^(code - 127), the block scales of the OCP microscaling formats.
  F8_E8M0: byteTable(() =>
    Float32Array.from({ length: 256 }, (_, code) => (code === 255 ? NaN : 2 ** (code - 127))),
  ),
  F8_E4M3FNUZ: byteTable(() => minifloatTable(minifloatFormats.F8_E4M3FNUZ)),
  F8_E5M2FNUZ: byteTable(() => minifloatTable(minifloatFormats.F8_E5M2FNUZ)),
  I16: viewDecoder(Int16Array),
  U16: viewDecoder(Uint16Array),
  F16: decodeF16,
  BF16: decodeBF16,
  I32: viewDecoder(Int32Array),
  U32: viewDecoder(Uint32Array),
  F32: viewDecoder(Float32Array),
  F64: viewDecoder(Float64Array),
  I64: bigintDecoder(BigInt64Array),
  U64: bigintDecoder(BigUint64Array),
  ...blockDecoders,
};

interface ViewClass<T> {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
}

/** A typed view of bytes; bytes that are not aligned to its element are copied first. */
export function alignedView<T>(bytes: Uint8Array, View: ViewClass<T>): T {
  const size = View.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new View(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}

function viewDecoder(View: ViewClass<ArrayLike<number>>): Decoder {
  return (bytes, out) => out.set(alignedView(bytes, View));
}

function bigintDecoder(View: ViewClass<ArrayLike<bigint>>): Decoder {
  return (bytes, out) => {
    const view = alignedView(bytes, View);
    for (let i = 0; i < out.length; i++) out[i] = Number(view[i]);
  };
}

function byteTable(make: () => Float32Array): Decoder {
  let table: Float32Array | undefined;
  return (bytes, out) => {
    const values = (table ??= make());
    for (let i = 0; i < out.length; i++) out[i] = values[bytes[i]];
  };
}

/** The upper half of a float32. */
function decodeBF16(bytes: Uint8Array, out: Float32Array): void {
  const codes = alignedView(bytes, Uint16Array);
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) bits[i] = codes[i] << 16;
}

function decodeF16(bytes: Uint8Array, out: Float32Array): void {
  const codes = alignedView(bytes, Uint16Array);
  const table = f16Table();
  for (let i = 0; i < out.length; i++) out[i] = table[codes[i]];
}

/** E2M1: sign, two bits of exponent, one of mantissa. */
function decodeF4(bytes: Uint8Array, out: Float32Array): void {
  const magnitudes = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
  const table = Float32Array.from([...magnitudes, ...magnitudes.map((value) => -value)]);
  for (let i = 0; i < bytes.length; i++) {
    out[2 * i] = table[bytes[i] & 0xf];
    out[2 * i + 1] = table[bytes[i] >> 4];
  }
}
