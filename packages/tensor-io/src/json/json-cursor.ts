import { TensorIoError, type TensorIoErrorCode } from "../errors";
import { JsonNumber, type JsonObject, type JsonValue } from "./strict-json";

/** Permitted values of a number, both ends included. */
export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
}

/**
 * A place in a parsed JSON document that knows its path, so that a wrong value is reported as
 * `config.json: rope_scaling.factor must be a number, found "abc"`.
 */
export class JsonCursor {
  constructor(
    readonly value: JsonValue,
    /** What to call the document. */
    readonly file: string,
    /** Keys and indexes from the root: `layers[3].name`; empty at the root. */
    readonly path = "",
  ) {}

  /** The value of a key. @throws TensorIoError JsonWrongType, JsonMissingKey */
  get(key: string): JsonCursor {
    const value = this.object().get(key);
    if (value === undefined) {
      throw new TensorIoError("JsonMissingKey", `${this.file}: ${this.child(key)} is missing`, {
        file: this.file,
        path: this.child(key),
      });
    }
    return new JsonCursor(value, this.file, this.child(key));
  }

  /** The value of a key, or undefined when the key is absent or null. @throws TensorIoError JsonWrongType */
  optional(key: string): JsonCursor | undefined {
    const value = this.object().get(key);
    return value === undefined || value === null
      ? undefined
      : new JsonCursor(value, this.file, this.child(key));
  }

  /** @throws TensorIoError JsonWrongType */
  object(): JsonObject {
    if (this.value instanceof Map) return this.value;
    throw this.wrongType("an object");
  }

  /** Every key with its value. @throws TensorIoError JsonWrongType */
  entries(): [string, JsonCursor][] {
    return Array.from(this.object(), ([key, value]) => [
      key,
      new JsonCursor(value, this.file, this.child(key)),
    ]);
  }

  /** The elements of an array. @throws TensorIoError JsonWrongType */
  items(): JsonCursor[] {
    if (!Array.isArray(this.value)) throw this.wrongType("an array");
    return this.value.map(
      (value, index) => new JsonCursor(value, this.file, `${this.path}[${index}]`),
    );
  }

  /** @throws TensorIoError JsonWrongType */
  string(): string {
    if (typeof this.value === "string") return this.value;
    throw this.wrongType("a string");
  }

  /** @throws TensorIoError JsonWrongType */
  boolean(): boolean {
    if (typeof this.value === "boolean") return this.value;
    throw this.wrongType("true or false");
  }

  /** A finite number, written in any way. @throws TensorIoError JsonWrongType, JsonOutOfRange */
  number(range: NumberRange = {}): number {
    if (!(this.value instanceof JsonNumber)) throw this.wrongType("a number");
    return this.inRange(this.value.value, range);
  }

  /**
   * A safe integer written as one: `4.0` and `4e0` are refused. At least 0 unless another minimum is given.
   * @throws TensorIoError JsonWrongType, JsonOutOfRange
   */
  integer(range: NumberRange = {}): number {
    if (!(this.value instanceof JsonNumber) || !this.value.isInteger) {
      throw this.wrongType("an integer");
    }
    const limits = { min: 0, max: Number.MAX_SAFE_INTEGER, ...range };
    return this.inRange(this.value.value, limits);
  }

  private child(key: string): string {
    const shown = /^\w+$/.test(key) ? key : JSON.stringify(key.slice(0, 200));
    return this.path === "" ? shown : `${this.path}.${shown}`;
  }

  private inRange(value: number, { min = -Infinity, max = Infinity }: NumberRange): number {
    if (Number.isFinite(value) && value >= min && value <= max) return value;
    const wanted = `between ${min} and ${max}`;
    throw this.refuse("JsonOutOfRange", wanted, { min, max });
  }

  private wrongType(expected: string): TensorIoError {
    return this.refuse("JsonWrongType", expected, {});
  }

  private refuse(
    code: TensorIoErrorCode,
    expected: string,
    context: Record<string, unknown>,
  ): TensorIoError {
    const found = describe(this.value);
    return new TensorIoError(
      code,
      `${this.file}: ${this.path || "the document"} must be ${expected}, found ${found}`,
      { file: this.file, path: this.path, expected, found, ...context },
    );
  }
}

function describe(value: JsonValue): string {
  if (value instanceof JsonNumber) return value.text.slice(0, 40);
  if (value instanceof Map) return "an object";
  if (Array.isArray(value)) return "an array";
  return JSON.stringify(typeof value === "string" ? value.slice(0, 40) : value);
}
