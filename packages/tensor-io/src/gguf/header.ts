import { storageBlock, type TensorDType } from "../dtype";
import { TensorIoError, type TensorIoErrorCode } from "../errors";
import type { ByteSource } from "../source";
import { GgufCursor } from "./cursor";
import {
  defaultAlignment,
  isPowerOfTwo,
  magic,
  maxEntries,
  maxKeyBytes,
  maxNameBytes,
  maxRank,
  pad,
  tensorTypes,
  utf8Length,
} from "./format";
import { numberTypeName, readValue, type GgufNumberType, type GgufValue } from "./values";

/** key length, one character, type, one byte of value */
const leastKeyBytes = 8 + 1 + 4 + 1;
/** name length, one character, rank, type, offset */
const leastTensorBytes = 8 + 1 + 4 + 4 + 8;

/** A tensor as the header describes it. */
export interface GgufTensor {
  readonly name: string;
  readonly dtype: TensorDType;
  /** Row-major: the reverse of the file's order, where the first dimension is contiguous. */
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Of the first byte, from the beginning of the file. */
  readonly offset: number;
}

export interface GgufHeader {
  readonly version: 2 | 3;
  readonly values: ReadonlyMap<string, GgufValue>;
  /** Of the values that are one number. */
  readonly numberTypes: ReadonlyMap<string, GgufNumberType>;
  readonly tensors: readonly GgufTensor[];
}

/**
 * Reads and checks the header of a GGUF file with the limits of ggml (`gguf.cpp`).
 * @throws TensorIoError the codes that begin with Gguf, InvalidUtf8, ReadFailed
 */
export async function readGgufHeader(
  source: ByteSource,
  signal?: AbortSignal,
): Promise<GgufHeader> {
  const cursor = new GgufCursor(source, signal);
  const version = await readVersion(cursor);
  const tensorCount = await cursor.u64("the number of tensors");
  const keyCount = await cursor.u64("the number of keys");
  cursor.expect(keyCount, leastKeyBytes, "the number of keys");
  cursor.limit(keyCount, maxEntries, "the number of keys");
  const { values, numberTypes, alignment } = await readValues(cursor, Number(keyCount));
  cursor.expect(tensorCount, leastTensorBytes, "the number of tensors");
  cursor.limit(tensorCount, maxEntries, "the number of tensors");
  const tensors: RelativeTensor[] = [];
  const names = new Set<string>();
  let position = 0;
  for (let i = 0; i < Number(tensorCount); i++) {
    const tensor = await readTensor(cursor, names);
    if (tensor.offset !== BigInt(position)) {
      throw refuse(
        cursor.file,
        tensor.name,
        "GgufInvalidOffset",
        `begins at ${tensor.offset}, expected ${position}`,
      );
    }
    tensors.push(tensor);
    position = pad(position + tensor.byteLength, alignment);
    if (position > source.size + alignment) throw beyondEnd(cursor.file, tensor.name, source.size);
  }
  const dataBegin = pad(cursor.position, alignment);
  const placed = tensors.map(({ name, dtype, shape, byteLength, offset }): GgufTensor => {
    const begin = dataBegin + Number(offset);
    if (begin + byteLength > source.size) throw beyondEnd(cursor.file, name, source.size);
    return { name, dtype, shape, byteLength, offset: begin };
  });
  return { version, values, numberTypes, tensors: placed };
}

async function readVersion(cursor: GgufCursor): Promise<2 | 3> {
  const { file } = cursor;
  if (cursor.remaining < 4 || (await cursor.u32("the magic")) !== magic) {
    throw new TensorIoError(
      "GgufBadMagic",
      `${file}: does not begin with "GGUF"; this is not a GGUF file`,
      { file },
    );
  }
  const version = await cursor.u32("the version");
  if (version !== 0 && (version & 0xffff) === 0) {
    throw new TensorIoError(
      "GgufBigEndian",
      `${file}: the file is big-endian; convert it with gguf_convert_endian.py of llama.cpp`,
      { file, version },
    );
  }
  if (version === 2 || version === 3) return version;
  throw new TensorIoError(
    "GgufUnsupportedVersion",
    `${file}: GGUF version ${version}, only 2 and 3 are read`,
    { file, version },
  );
}

async function readValues(
  cursor: GgufCursor,
  count: number,
): Promise<Pick<GgufHeader, "values" | "numberTypes"> & { alignment: number }> {
  const values = new Map<string, GgufValue>();
  const numberTypes = new Map<string, GgufNumberType>();
  let alignment = defaultAlignment;
  for (let i = 0; i < count; i++) {
    const key = await cursor.string(`key ${i}`);
    const fail = (code: TensorIoErrorCode, what: string) =>
      new TensorIoError(code, `${cursor.file}: key ${JSON.stringify(key.slice(0, 200))} ${what}`, {
        file: cursor.file,
        key: key.slice(0, 200),
      });
    if (key === "" || utf8Length(key) > maxKeyBytes) {
      throw fail("GgufInvalidKey", `is empty or longer than ${maxKeyBytes} bytes`);
    }
    if (values.has(key)) throw fail("GgufDuplicateKey", "occurs twice");
    const type = await cursor.u32(`the type of ${key}`);
    const value = await readValue(cursor, type, key);
    const numberType = numberTypeName(type);
    if (numberType !== undefined) numberTypes.set(key, numberType);
    if (key === "general.alignment") {
      if (numberType !== "u32" || typeof value !== "number" || !isPowerOfTwo(value)) {
        throw fail("GgufInvalidAlignment", "is not a u32 power of two");
      }
      alignment = value;
    }
    values.set(key, value);
  }
  return { values, numberTypes, alignment };
}

interface RelativeTensor extends Omit<GgufTensor, "offset"> {
  /** From the beginning of the data. */
  readonly offset: bigint;
}

async function readTensor(cursor: GgufCursor, names: Set<string>): Promise<RelativeTensor> {
  const name = await cursor.string(`the name of tensor ${names.size}`);
  const fail = (code: TensorIoErrorCode, what: string) => refuse(cursor.file, name, code, what);
  if (name === "" || utf8Length(name) > maxNameBytes) {
    throw fail("GgufInvalidTensorName", `is empty or longer than ${maxNameBytes} bytes`);
  }
  if (names.has(name)) throw fail("GgufDuplicateTensor", "occurs twice");
  names.add(name);
  const rank = await cursor.u32(`the rank of ${name}`);
  if (rank > maxRank) throw fail("GgufInvalidRank", `has ${rank} dimensions, more than ${maxRank}`);
  const sizes: bigint[] = [];
  for (let i = 0; i < rank; i++) sizes.push(await cursor.u64(`the shape of ${name}`));
  const count = sizes.reduce((product, size) => product * size, 1n);
  // 8 bytes for the widest type.
  if (count === 0n || count > BigInt(Number.MAX_SAFE_INTEGER) / 8n) {
    throw fail("GgufInvalidShape", `has the shape [${sizes.toReversed().join(", ")}]`);
  }
  const type = await cursor.u32(`the type of ${name}`);
  const dtype = tensorTypes[type];
  if (dtype === undefined) {
    throw fail("GgufUnsupportedType", `has ggml type ${type}, which is not read; requantise it`);
  }
  const { elements, bytes } = storageBlock(dtype);
  const rowLength = Number(sizes[0] ?? 1n);
  if (rowLength % elements !== 0) {
    throw fail("GgufMisalignedRow", `has rows of ${rowLength}, not a multiple of ${elements}`);
  }
  return {
    name,
    dtype,
    shape: sizes.toReversed().map(Number),
    byteLength: (Number(count) / elements) * bytes,
    offset: await cursor.u64(`the offset of ${name}`),
  };
}

function refuse(
  file: string,
  tensor: string,
  code: TensorIoErrorCode,
  what: string,
): TensorIoError {
  const shown = tensor.slice(0, 200);
  return new TensorIoError(code, `${file}: tensor ${JSON.stringify(shown)} ${what}`, {
    file,
    tensor: shown,
  });
}

function beyondEnd(file: string, tensor: string, size: number): TensorIoError {
  return refuse(
    file,
    tensor,
    "GgufTruncated",
    `ends beyond the ${size} bytes of the file; was the download cut off?`,
  );
}
