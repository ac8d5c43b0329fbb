import {
  isSafetensorsDType,
  safetensorsDTypes,
  storageBlock,
  type SafetensorsDType,
} from "../dtype";
import { reasonOf, TensorIoError, type TensorIoErrorCode } from "../errors";
import {
  decodeUtf8,
  JsonNumber,
  parseStrictJson,
  type JsonObject,
  type JsonValue,
} from "../json/strict-json";

/** Bytes of the little-endian u64 before the header. */
export const lengthBytes = 8;
/** The limit of the Rust crate. */
export const maxHeaderBytes = 100_000_000;
/** Ours: names appear in messages and paths of tools. */
export const maxNameBytes = 4096;
/** Ours: PyTorch itself stops at 64, models at 6. */
export const maxRank = 16;

/** A tensor as the header describes it. */
export interface HeaderTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** First byte and the byte after the last, from the beginning of the file. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of the file. */
  readonly tensors: readonly HeaderTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** An entry before its numbers are checked: u64 values, as the crate reads them. */
interface Entry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly bigint[];
  readonly begin: bigint;
  readonly end: bigint;
}

const maxU64 = 2n ** 64n - 1n;

/**
 * The length of the header, from the first 8 bytes (fewer when the file is shorter).
 * @throws TensorIoError HeaderTooSmall, HeaderTooLarge, InvalidHeaderLength
 */
export function headerLength(prefix: Uint8Array, fileSize: number, file: string): number {
  if (prefix.byteLength < lengthBytes) {
    throw new TensorIoError(
      "HeaderTooSmall",
      `${file}: ${fileSize} bytes are too few for a safetensors file; was the download cut off?`,
      { file, size: fileSize },
    );
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, lengthBytes);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw new TensorIoError(
      "HeaderTooLarge",
      `${file}: a header of ${length} bytes (limit ${maxHeaderBytes}); this is not a safetensors file`,
      { file, headerBytes: length.toString(), limit: maxHeaderBytes },
    );
  }
  if (lengthBytes + Number(length) > fileSize) {
    throw new TensorIoError(
      "InvalidHeaderLength",
      `${file}: a header of ${length} bytes does not fit into ${fileSize}; was the download cut off?`,
      { file, headerBytes: Number(length), size: fileSize },
    );
  }
  return Number(length);
}

/**
 * Checks a whole header in the order of the Rust crate's `validate`.
 * @throws TensorIoError InvalidHeader, InvalidHeaderDeserialization, TensorNameTooLong, RankTooLarge,
 *   InvalidOffset, ValidationOverflow, MisalignedSlice, TensorInvalidInfo, MetadataIncompleteBuffer
 */
export function parseHeader(header: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const root = parseRoot(header, file);
  const metadata = readMetadata(root.get("__metadata__"), file);
  const entries = Array.from(root)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]) => readEntry(name, value, file))
    .toSorted((a, b) => compare(a.begin, b.begin) || compare(a.end, b.end));

  const dataBegin = lengthBytes + header.byteLength;
  const tensors: HeaderTensor[] = [];
  let position = 0n;
  for (const entry of entries) {
    checkEntry(entry, position, file);
    position = entry.end;
    tensors.push({
      name: entry.name,
      dtype: entry.dtype,
      shape: entry.shape.map(Number),
      begin: dataBegin + Number(entry.begin),
      end: dataBegin + Number(entry.end),
    });
  }
  if (BigInt(dataBegin) + position !== BigInt(fileSize)) {
    throw new TensorIoError(
      "MetadataIncompleteBuffer",
      `${file}: header and tensors take ${BigInt(dataBegin) + position} bytes, the file has ${fileSize}`,
      { file, expected: (BigInt(dataBegin) + position).toString(), size: fileSize },
    );
  }
  return { tensors, metadata };
}

function parseRoot(header: Uint8Array, file: string): JsonObject {
  let text: string;
  try {
    text = decodeUtf8(header, file);
  } catch (cause) {
    const message = `${file}: the header is not UTF-8; this is not a safetensors file`;
    throw new TensorIoError("InvalidHeader", message, { file }, { cause });
  }
  // The format forbids white space before the object, which a JSON reader would skip.
  if (!text.startsWith("{")) throw malformed(file, 'it does not begin with "{"');
  try {
    // Depth 3: the root, an entry, its shape. A text that begins with "{" is an object or an error.
    return parseStrictJson(text, { file, maxDepth: 3, maxLength: maxHeaderBytes }) as JsonObject;
  } catch (cause) {
    throw malformed(file, reasonOf(cause), {}, cause);
  }
}

function readMetadata(value: JsonValue | undefined, file: string): Map<string, string> {
  const metadata = new Map<string, string>();
  if (value === undefined) return metadata;
  if (!(value instanceof Map)) throw malformed(file, "__metadata__ is not an object");
  for (const [key, item] of value) {
    if (typeof item !== "string") {
      throw malformed(file, `__metadata__ key ${JSON.stringify(key)} is not a string`, { key });
    }
    metadata.set(key, item);
  }
  return metadata;
}

function readEntry(name: string, value: JsonValue, file: string): Entry {
  const where = `tensor ${JSON.stringify(name.slice(0, 200))}`;
  if (new TextEncoder().encode(name).byteLength > maxNameBytes) {
    throw new TensorIoError(
      "TensorNameTooLong",
      `${file}: ${where}… is longer than ${maxNameBytes} bytes`,
      { file, limit: maxNameBytes },
    );
  }
  const refuse = (what: string) => malformed(file, `${where}: ${what}`, { tensor: name });
  if (!(value instanceof Map)) throw refuse("not an object");
  if (value.size !== 3) throw refuse("needs exactly dtype, shape and data_offsets");
  const dtype = value.get("dtype");
  if (typeof dtype !== "string" || !isSafetensorsDType(dtype)) {
    throw refuse(`dtype is not one of ${safetensorsDTypes.join(", ")}`);
  }
  const shape = readUnsignedArray(value.get("shape"));
  if (shape === undefined) throw refuse("shape is not an array of unsigned integers");
  if (shape.length > maxRank) {
    throw new TensorIoError(
      "RankTooLarge",
      `${file}: ${where} has ${shape.length} dimensions, more than ${maxRank}`,
      { file, tensor: name, rank: shape.length, limit: maxRank },
    );
  }
  const offsets = readUnsignedArray(value.get("data_offsets"));
  if (offsets?.length !== 2) throw refuse("data_offsets is not a pair of unsigned integers");
  return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
}

function readUnsignedArray(value: JsonValue | undefined): bigint[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const numbers: bigint[] = [];
  for (const item of value) {
    // At most 20 digits, before BigInt sees them: 2^64 has 20.
    if (!(item instanceof JsonNumber) || !/^\d{1,20}$/.test(item.text)) return undefined;
    const number = BigInt(item.text);
    if (number > maxU64) return undefined;
    numbers.push(number);
  }
  return numbers;
}

function checkEntry(entry: Entry, position: bigint, file: string): void {
  const { name, dtype, shape, begin, end } = entry;
  const refuse = (code: TensorIoErrorCode, what: string) =>
    new TensorIoError(code, `${file}: tensor ${JSON.stringify(name.slice(0, 200))} ${what}`, {
      file,
      tensor: name,
      dtype,
      shape: shape.map(String),
      dataOffsets: [begin.toString(), end.toString()],
    });
  if (begin !== position || end < begin) {
    throw refuse(
      "InvalidOffset",
      `has bytes ${begin} to ${end}, but ${position} was expected next`,
    );
  }
  let count = 1n;
  for (const size of shape) {
    count *= size;
    if (count > maxU64) {
      throw refuse("ValidationOverflow", `has the shape [${shape.join(", ")}], which overflows`);
    }
  }
  const { elements, bytes } = storageBlock(dtype);
  const bits = (count * BigInt(bytes * 8)) / BigInt(elements);
  if (bits > maxU64) throw refuse("ValidationOverflow", "has a size that overflows");
  if (count % BigInt(elements) !== 0n) {
    throw refuse("MisalignedSlice", `has ${count} values of ${dtype}, which do not fill bytes`);
  }
  if (bits / 8n !== end - begin) {
    throw refuse(
      "TensorInvalidInfo",
      `needs ${bits / 8n} bytes for ${dtype} [${shape.join(", ")}], but has ${end - begin}`,
    );
  }
  // Only in an empty tensor: the other sizes are bounded by the bytes of the file.
  if (shape.some((size) => size > BigInt(Number.MAX_SAFE_INTEGER))) {
    throw refuse("ValidationOverflow", `has the shape [${shape.join(", ")}], beyond 2^53`);
  }
}

function malformed(
  file: string,
  what: string,
  context: Readonly<Record<string, unknown>> = {},
  cause?: unknown,
): TensorIoError {
  return new TensorIoError(
    "InvalidHeaderDeserialization",
    `${file}: malformed safetensors header: ${what}`,
    { file, ...context },
    { cause },
  );
}

function compare(a: bigint, b: bigint): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
