import { TensorIoError } from "../errors";

/** A JSON number that keeps its source text, so that `4.0`, `4` and 2^53 + 1 stay what they are. */
export class JsonNumber {
  constructor(readonly text: string) {}

  /** The nearest float64; infinite for numbers beyond its range. */
  get value(): number {
    return Number(this.text);
  }

  /** True when written as an integer: no fraction, no exponent. */
  get isInteger(): boolean {
    return /^-?\d+$/.test(this.text);
  }
}

/** A parsed JSON value. Objects are maps, so that a key such as `__proto__` is a key like any other. */
export type JsonValue = null | boolean | string | JsonNumber | JsonValue[] | JsonObject;
/** A parsed JSON object, in the order of the text. */
export type JsonObject = Map<string, JsonValue>;

export interface JsonLimits {
  /** Bytes or characters of the text; 100,000,000 unless given. */
  readonly maxLength?: number;
  /** Arrays and objects inside each other; 64 unless given. */
  readonly maxDepth?: number;
  /** Values in all, keys not counted; 2,000,000 unless given: ten times the largest known header. */
  readonly maxValues?: number;
  /** What to call the text in messages. */
  readonly file?: string;
}

const defaultMaxLength = 100_000_000;
const defaultMaxDepth = 64;
const defaultMaxValues = 2_000_000;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Strict UTF-8; a byte order mark is kept as a character. @throws TensorIoError InvalidUtf8 */
export function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new TensorIoError("InvalidUtf8", `${file}: not UTF-8`, { file }, { cause });
  }
}

/**
 * Reads JSON (RFC 8259) from a stranger: no duplicate keys in whatever spelling, no lone surrogates, no byte order mark,
 * bounded size and depth.
 * @throws TensorIoError JsonTooLarge, InvalidUtf8, JsonSyntax, JsonTooDeep, JsonDuplicateKey
 */
export function parseStrictJson(input: Uint8Array | string, limits: JsonLimits = {}): JsonValue {
  const file = limits.file ?? "JSON";
  const maxLength = limits.maxLength ?? defaultMaxLength;
  if (input.length > maxLength) {
    throw new TensorIoError("JsonTooLarge", `${file}: longer than ${maxLength}`, {
      file,
      length: input.length,
      maxLength,
    });
  }
  const text = typeof input === "string" ? input : decodeUtf8(input, file);
  const { maxDepth = defaultMaxDepth, maxValues = defaultMaxValues } = limits;
  return new Parser(text, file, maxDepth, maxValues).document();
}

const quote = 0x22;
const backslash = 0x5c;
const simpleEscapes: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};
const loneSurrogate = /\p{Surrogate}/u;

class Parser {
  private at = 0;
  private depth = 0;
  private values = 0;
  private readonly number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

  constructor(
    private readonly text: string,
    private readonly file: string,
    private readonly maxDepth: number,
    private readonly maxValues: number,
  ) {}

  document(): JsonValue {
    if (loneSurrogate.test(this.text)) throw this.syntax("lone surrogate in the text");
    this.skipSpace();
    const value = this.value();
    this.skipSpace();
    if (this.at < this.text.length) throw this.syntax("text after the value");
    return value;
  }

  private value(): JsonValue {
    if (++this.values > this.maxValues) {
      throw new TensorIoError("JsonTooLarge", `${this.file}: more than ${this.maxValues} values`, {
        file: this.file,
        maxValues: this.maxValues,
      });
    }
    switch (this.text[this.at]) {
      case "{":
        return this.object();
      case "[":
        return this.array();
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.numberValue();
    }
  }

  private object(): JsonObject {
    const result: JsonObject = new Map();
    this.enter();
    if (this.skip("}")) return this.leave(result);
    do {
      this.skipSpace();
      const begin = this.at;
      if (this.text.charCodeAt(begin) !== quote) throw this.syntax("expected a key");
      const key = this.string();
      if (result.has(key)) throw this.duplicate(key, begin);
      if (!this.skip(":")) throw this.syntax("expected `:`");
      this.skipSpace();
      result.set(key, this.value());
    } while (this.skip(","));
    if (!this.skip("}")) throw this.syntax("expected `,` or `}`");
    return this.leave(result);
  }

  private array(): JsonValue[] {
    const result: JsonValue[] = [];
    this.enter();
    if (this.skip("]")) return this.leave(result);
    do {
      this.skipSpace();
      result.push(this.value());
    } while (this.skip(","));
    if (!this.skip("]")) throw this.syntax("expected `,` or `]`");
    return this.leave(result);
  }

  private enter(): void {
    this.at++;
    if (++this.depth > this.maxDepth) {
      throw new TensorIoError(
        "JsonTooDeep",
        `${this.file}: nested deeper than ${this.maxDepth} at ${this.at}`,
        { file: this.file, maxDepth: this.maxDepth, at: this.at },
      );
    }
  }

  private leave<T>(result: T): T {
    this.depth--;
    return result;
  }

  private string(): string {
    const { text } = this;
    const begin = ++this.at;
    let escaped = false;
    for (; ; this.at++) {
      const unit = text.charCodeAt(this.at);
      if (unit === quote) break;
      if (unit === backslash) {
        escaped = true;
        this.at++;
      } else if (!(unit >= 0x20)) {
        // Also the end of the text, where charCodeAt gives NaN.
        throw this.syntax("unfinished string or control character in a string");
      }
    }
    const raw = text.slice(begin, this.at++);
    return escaped ? this.unescape(raw) : raw;
  }

  private unescape(raw: string): string {
    const result = raw.replace(/\\(u[0-9a-fA-F]{4}|[^])/g, (_, escape: string) => {
      if (escape.length === 5) return String.fromCharCode(parseInt(escape.slice(1), 16));
      const simple = simpleEscapes[escape];
      if (simple === undefined) throw this.syntax(`unknown escape \\${escape}`);
      return simple;
    });
    if (loneSurrogate.test(result)) throw this.syntax("lone surrogate in a string");
    return result;
  }

  private numberValue(): JsonNumber {
    const begin = this.at;
    this.number.lastIndex = begin;
    if (!this.number.test(this.text)) throw this.syntax("expected a value");
    this.at = this.number.lastIndex;
    return new JsonNumber(this.text.slice(begin, this.at));
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.syntax("expected a value");
    this.at += word.length;
    return value;
  }

  private skip(character: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private skipSpace(): void {
    for (; ; this.at++) {
      const unit = this.text.charCodeAt(this.at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
    }
  }

  private syntax(what: string): TensorIoError {
    return new TensorIoError("JsonSyntax", `${this.file}: ${what} at ${this.at}`, {
      file: this.file,
      at: this.at,
    });
  }

  private duplicate(key: string, at: number): TensorIoError {
    const shown = JSON.stringify(key.slice(0, 200));
    return new TensorIoError("JsonDuplicateKey", `${this.file}: key ${shown} twice, at ${at}`, {
      file: this.file,
      key,
      at,
    });
  }
}
