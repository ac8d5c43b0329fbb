import {
  isSafetensorsDType,
  safetensorsDTypes,
  storageBlock,
  type SafetensorsDType,
} from "../dtype";
import { TensorIoError, type TensorIoErrorCode } from "../errors";
import type { FilePlan } from "../tensor-writer";
import { lengthBytes, maxHeaderBytes, maxNameBytes, maxRank, type HeaderTensor } from "./header";

/** A tensor to be written. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
}

/** A safetensors file before its values: larger element types first, then by name. */
export type SafetensorsPlan = FilePlan<HeaderTensor>;

/**
 * Lays out a file as the Rust crate does, byte for byte: tensors sorted by element type (descending alignment order) and
 * name, header padded with spaces to 8 bytes. Metadata keys are sorted, so that equal input gives equal bytes.
 * @throws TensorIoError DuplicateTensor, InvalidTensorName, TensorNameTooLong, UnknownDType, RankTooLarge, InvalidShape,
 *   MisalignedSlice, HeaderTooLarge
 */
export function planSafetensors(
  specs: Iterable<TensorSpec>,
  metadata?: ReadonlyMap<string, string> | Readonly<Record<string, string>>,
): SafetensorsPlan {
  const sorted = Array.from(specs).toSorted(
    (a, b) =>
      safetensorsDTypes.indexOf(b.dtype) - safetensorsDTypes.indexOf(a.dtype) ||
      compareCodePoints(a.name, b.name),
  );
  const parts: string[] = [];
  if (metadata !== undefined) parts.push(`"__metadata__":${metadataJson(metadata)}`);
  const names = new Set<string>();
  const relative: HeaderTensor[] = [];
  let position = 0;
  for (const spec of sorted) {
    if (names.has(spec.name)) throw refuse("DuplicateTensor", spec, "is given twice");
    names.add(spec.name);
    const begin = position;
    position += checkedByteLength(spec);
    const { name, dtype } = spec;
    relative.push({ name, dtype, shape: [...spec.shape], begin, end: position });
    const body = { dtype, shape: spec.shape, data_offsets: [begin, position] };
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(body)}`);
  }
  const header = encodeHeader(`{${parts.join(",")}}`);
  const base = header.byteLength;
  return {
    tensors: relative.map(({ name, dtype, shape, begin, end }) => ({
      name,
      dtype,
      shape,
      begin: base + begin,
      end: base + end,
    })),
    header,
    byteLength: base + position,
  };
}

function encodeHeader(json: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  const padded = Math.ceil(text.byteLength / 8) * 8;
  if (padded > maxHeaderBytes) {
    throw new TensorIoError(
      "HeaderTooLarge",
      `the header would have ${padded} bytes, more than ${maxHeaderBytes}; write fewer tensors per file`,
      { headerBytes: padded, limit: maxHeaderBytes },
    );
  }
  const header = new Uint8Array(lengthBytes + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(text, lengthBytes);
  return header;
}

/** Bytes of a tensor whose description is sound. */
export function checkedByteLength(spec: TensorSpec): number {
  const { name, dtype, shape } = spec;
  if (name === "__metadata__") throw refuse("InvalidTensorName", spec, "has a reserved name");
  checkText(name, "tensor name");
  if (new TextEncoder().encode(name).byteLength > maxNameBytes) {
    throw refuse("TensorNameTooLong", spec, `has a name longer than ${maxNameBytes} bytes`);
  }
  if (!isSafetensorsDType(dtype)) throw refuse("UnknownDType", spec, "has an unknown type");
  if (shape.length > maxRank) {
    throw refuse("RankTooLarge", spec, `has more than ${maxRank} dimensions`);
  }
  const { elements, bytes } = storageBlock(dtype);
  const count = shape.reduce((product, size) => product * size, 1);
  const sound = shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  if (!sound || !Number.isSafeInteger(count * bytes)) {
    throw refuse("InvalidShape", spec, `has the shape [${shape.join(", ")}]`);
  }
  if (count % elements !== 0) {
    throw refuse("MisalignedSlice", spec, `has ${count} values, which do not fill whole bytes`);
  }
  return (count / elements) * bytes;
}

function metadataJson(
  metadata: ReadonlyMap<string, string> | Readonly<Record<string, string>>,
): string {
  const entries = metadata instanceof Map ? [...metadata] : Object.entries(metadata);
  for (const text of entries.flat()) checkText(text, "metadata");
  const sorted = entries.toSorted(([a], [b]) => compareCodePoints(a, b));
  return `{${sorted.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`;
}

/** A lone surrogate has no UTF-8, so two different names could become one. */
function checkText(text: string, what: string): void {
  if (!/\p{Surrogate}/u.test(text)) return;
  throw new TensorIoError(
    "InvalidTensorName",
    `${what} ${JSON.stringify(text.slice(0, 200))} is not well-formed Unicode`,
    { text },
  );
}

function refuse(code: TensorIoErrorCode, spec: TensorSpec, what: string): TensorIoError {
  return new TensorIoError(code, `tensor ${JSON.stringify(spec.name.slice(0, 200))} ${what}`, {
    tensor: spec.name,
    dtype: spec.dtype,
    shape: spec.shape,
  });
}

/** The order of the UTF-8 bytes. JavaScript's `<` compares UTF-16 units, which puts U+FFFF after U+10000. */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    const surrogates = Number(isSurrogate(x)) - Number(isSurrogate(y));
    return surrogates === 0 ? x - y : surrogates;
  }
  return a.length - b.length;
}

const isSurrogate = (unit: number) => unit >= 0xd800 && unit <= 0xdfff;
