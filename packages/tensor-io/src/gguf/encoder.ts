import { TensorIoError } from "../errors";
import { isGgufNumber, type GgufEntry, type GgufNumber } from "./entries";
import { pad } from "./format";
import {
  itemTypeOf,
  numberTypeOf,
  typeArray,
  typeBool,
  typeString,
  type GgufNumbers,
} from "./values";

/** Collects the little-endian values of a header. */
export class GgufEncoder {
  private readonly parts: Uint8Array[] = [];
  private length = 0;

  /** Everything so far, padded with zeros to a multiple of `alignment`. */
  bytes(alignment: number): Uint8Array {
    const result = new Uint8Array(pad(this.length, alignment));
    let at = 0;
    for (const part of this.parts) {
      result.set(part, at);
      at += part.byteLength;
    }
    return result;
  }

  u32(value: number): void {
    this.numbers(Uint32Array.of(value));
  }

  u64(value: number): void {
    this.numbers(BigUint64Array.of(BigInt(value)));
  }

  /** A u64 length and as many bytes of UTF-8. */
  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.byteLength);
    this.push(bytes);
  }

  /** A type number and a value. @throws TensorIoError GgufValueRange */
  entry(key: string, entry: GgufEntry): void {
    if (typeof entry === "string") {
      this.u32(typeString);
      this.string(entry);
    } else if (typeof entry === "boolean") {
      this.u32(typeBool);
      this.push(Uint8Array.of(Number(entry)));
    } else if (isGgufNumber(entry)) {
      this.u32(numberTypeOf(entry.type).type);
      this.numbers(exactly(key, entry));
    } else {
      this.u32(typeArray);
      this.array(entry);
    }
  }

  /** The type number of the items, their number, the items. */
  private array(items: GgufNumbers | string[] | boolean[]): void {
    if (!Array.isArray(items)) {
      this.u32(itemTypeOf(items));
      this.u64(items.length);
      return this.numbers(items);
    }
    const booleans = typeof items[0] === "boolean";
    this.u32(booleans ? typeBool : typeString);
    this.u64(items.length);
    for (const item of items) {
      if (typeof item === "string") this.string(item);
      else this.push(Uint8Array.of(Number(item)));
    }
  }

  private numbers(numbers: GgufNumbers): void {
    this.push(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
  }

  private push(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.length += bytes.byteLength;
  }
}

/** One number in its type. Floats are rounded; integers must fit. */
function exactly(key: string, { type, value }: GgufNumber): GgufNumbers {
  const { array: NumberArray } = numberTypeOf(type);
  const numbers = new NumberArray(new ArrayBuffer(8));
  const wide = type === "u64" || type === "i64";
  if (!type.startsWith("f") && typeof value === "number" && !Number.isSafeInteger(value)) {
    throw outOfRange(key, type, value);
  }
  (numbers as { [index: number]: number | bigint })[0] = wide ? BigInt(value) : Number(value);
  if (!type.startsWith("f") && BigInt(numbers[0]) !== BigInt(value)) {
    throw outOfRange(key, type, value);
  }
  return numbers.subarray(0, 1);
}

function outOfRange(key: string, type: string, value: number | bigint): TensorIoError {
  return new TensorIoError(
    "GgufValueRange",
    `key ${JSON.stringify(key.slice(0, 200))}: ${value} is not a ${type}`,
    { key: key.slice(0, 200), type, value: String(value) },
  );
}
