import { storageBlock, type GgufDType } from "../dtype";
import { TensorIoError, type TensorIoErrorCode } from "../errors";
import type { FilePlan, PlacedTensor } from "../tensor-writer";
import { GgufEncoder } from "./encoder";
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
import { isGgufNumber, type GgufEntry } from "./entries";

/** A tensor to be written; the shape is row-major (`[out, in]`), as everywhere in this package. */
export interface GgufTensorSpec {
  readonly name: string;
  readonly dtype: GgufDType;
  readonly shape: readonly number[];
}

const typeNumbers: ReadonlyMap<string, number> = new Map(
  Object.entries(tensorTypes).map(([type, dtype]) => [dtype, Number(type)]),
);

/**
 * Lays out a GGUF file, version 3, little-endian, as the `gguf` Python package does, byte for byte: entries and tensors in
 * the order given, every tensor padded to `general.alignment` (32 unless the entries say otherwise).
 * @throws TensorIoError GgufInvalidKey, GgufInvalidAlignment, GgufValueRange, GgufTooLarge, GgufInvalidTensorName, DuplicateTensor,
 *   GgufInvalidRank, GgufInvalidShape, GgufUnsupportedType, GgufMisalignedRow
 */
export function planGguf(
  specs: Iterable<GgufTensorSpec>,
  entries: ReadonlyMap<string, GgufEntry>,
): FilePlan {
  const tensors = placeTensors(specs, alignmentOf(entries));
  for (const count of [tensors.placed.length, entries.size]) {
    if (count <= maxEntries) continue;
    throw new TensorIoError("GgufTooLarge", `${count} tensors or keys, more than ${maxEntries}`, {
      count,
      limit: maxEntries,
    });
  }
  const encoder = new GgufEncoder();
  encoder.u32(magic);
  encoder.u32(3);
  encoder.u64(tensors.placed.length);
  encoder.u64(entries.size);
  for (const [key, entry] of entries) {
    checkKey(key);
    encoder.string(key);
    encoder.entry(key, entry);
  }
  for (const { name, dtype, shape, begin } of tensors.placed) {
    encoder.string(name);
    encoder.u32(shape.length);
    for (const size of shape.toReversed()) encoder.u64(size);
    encoder.u32(typeNumbers.get(dtype)!);
    encoder.u64(begin);
  }
  const header = encoder.bytes(alignmentOf(entries));
  const base = header.byteLength;
  return {
    header,
    tensors: tensors.placed.map(({ begin, end, ...tensor }) => ({
      ...tensor,
      begin: base + begin,
      end: base + end,
    })),
    byteLength: base + tensors.bytes,
  };
}

function alignmentOf(entries: ReadonlyMap<string, GgufEntry>): number {
  const entry = entries.get("general.alignment");
  if (entry === undefined) return defaultAlignment;
  if (isGgufNumber(entry) && entry.type === "u32" && isPowerOfTwo(Number(entry.value))) {
    return Number(entry.value);
  }
  throw new TensorIoError(
    "GgufInvalidAlignment",
    `key "general.alignment" is not a u32 power of two`,
    { key: "general.alignment" },
  );
}

function checkKey(key: string): void {
  if (key !== "" && utf8Length(key) <= maxKeyBytes) return;
  throw new TensorIoError(
    "GgufInvalidKey",
    `key ${JSON.stringify(key.slice(0, 200))} is empty or longer than ${maxKeyBytes} bytes`,
    { key: key.slice(0, 200) },
  );
}

/** Positions from the beginning of the data. */
function placeTensors(
  specs: Iterable<GgufTensorSpec>,
  alignment: number,
): { placed: PlacedTensor[]; bytes: number } {
  const placed: PlacedTensor[] = [];
  const names = new Set<string>();
  let bytes = 0;
  for (const spec of specs) {
    if (names.has(spec.name)) throw refuse("DuplicateTensor", spec, "is given twice");
    names.add(spec.name);
    const end = bytes + checkedByteLength(spec);
    placed.push({ ...spec, begin: bytes, end });
    bytes = pad(end, alignment);
  }
  return { placed, bytes };
}

function checkedByteLength(spec: GgufTensorSpec): number {
  const { name, dtype, shape } = spec;
  if (name === "" || utf8Length(name) > maxNameBytes || /\p{Surrogate}/u.test(name)) {
    throw refuse(
      "GgufInvalidTensorName",
      spec,
      `has a name that is empty, not well-formed or longer than ${maxNameBytes} bytes`,
    );
  }
  if (!typeNumbers.has(dtype)) throw refuse("GgufUnsupportedType", spec, `cannot be ${dtype}`);
  if (shape.length > maxRank) {
    throw refuse("GgufInvalidRank", spec, `has ${shape.length} dimensions, more than ${maxRank}`);
  }
  const { elements, bytes } = storageBlock(dtype);
  const count = shape.reduce((product, size) => product * size, 1);
  const sound = shape.every((size) => Number.isSafeInteger(size) && size > 0);
  if (!sound || !Number.isSafeInteger(count * bytes)) {
    throw refuse("GgufInvalidShape", spec, `has the shape [${shape.join(", ")}]`);
  }
  const row = shape.at(-1) ?? 1;
  if (row % elements !== 0) {
    throw refuse("GgufMisalignedRow", spec, `has rows of ${row}, not a multiple of ${elements}`);
  }
  return (count / elements) * bytes;
}

function refuse(code: TensorIoErrorCode, spec: GgufTensorSpec, what: string): TensorIoError {
  const tensor = spec.name.slice(0, 200);
  return new TensorIoError(code, `tensor ${JSON.stringify(tensor)} ${what}`, {
    tensor,
    dtype: spec.dtype,
    shape: spec.shape,
  });
}
