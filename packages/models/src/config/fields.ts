import { formatJson, JsonNumber, type JsonObject, type JsonValue } from "@transmla/tensor-io";
import { ModelsError } from "../errors";

/** Largest size a config may declare; beyond it a number is a mistake or an attack, not a model. */
const MAX_SIZE = 2 ** 31 - 1;

/**
 * Sizes that decide how many things are made before any is compared with the weights: a config of 100 bytes must not fill the memory.
 * Published models have up to 126 layers, heads of 576 and 25,000 experts in all.
 */
export const mostLayers = 10_000;
export const mostRotated = 1 << 16;
const mostExperts = 200_000;

/** Experts that a layer may have. */
export const mostExpertsOf = (layers: number): number =>
  Math.max(1, Math.floor(mostExperts / layers));

/** Typed, checked access to the fields of a JSON object. Every refusal names the field by its path. */
export class Fields {
  constructor(
    private readonly json: JsonObject,
    /** Where the object stands, e.g. `config.json.rope_scaling`. */
    readonly path: string,
  ) {}

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** A positive integer, `most` at most. Throws `InvalidConfig`. */
  size(name: string, fallback?: number, most = MAX_SIZE): number {
    const value = this.integer(name, fallback);
    if (value < 1 || value > MAX_SIZE) this.fail(name, "a positive integer", this.get(name));
    if (value > most) this.fail(name, `at most ${most}`, this.get(name));
    return value;
  }

  /** A non-negative integer. Throws `InvalidConfig`. */
  count(name: string, fallback?: number): number {
    const value = this.integer(name, fallback);
    if (value < 0 || value > MAX_SIZE) this.fail(name, "a non-negative integer", this.get(name));
    return value;
  }

  optionalSize(name: string): number | undefined {
    return this.has(name) ? this.size(name) : undefined;
  }

  /** A positive finite number. Throws `InvalidConfig`. */
  positive(name: string, fallback?: number): number {
    const value = this.get(name);
    if (value === undefined && fallback !== undefined) return fallback;
    if (!(value instanceof JsonNumber) || !Number.isFinite(value.value) || value.value <= 0) {
      this.fail(name, "a positive number", value);
    }
    return value.value;
  }

  /** A positive finite number, nothing where the field is null, `fallback` where it is absent. Throws `InvalidConfig`. */
  optionalPositive(name: string, fallback: number): number | undefined {
    return this.json.get(name) === null ? undefined : this.positive(name, fallback);
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.get(name) ?? fallback;
    if (typeof value !== "boolean") this.fail(name, "true or false", value);
    return value;
  }

  string(name: string): string {
    const value = this.get(name);
    if (typeof value !== "string") this.fail(name, "a string", value);
    return value;
  }

  optionalString(name: string): string | undefined {
    return this.has(name) ? this.string(name) : undefined;
  }

  object(name: string): Fields {
    const value = this.get(name);
    if (!(value instanceof Map)) this.fail(name, "an object", value);
    return new Fields(value, `${this.path}.${name}`);
  }

  optionalObject(name: string): Fields | undefined {
    return this.has(name) ? this.object(name) : undefined;
  }

  /** A list of objects. Throws `InvalidConfig`. */
  objects(name: string): Fields[] {
    return this.list(name).map((value, index) => {
      if (!(value instanceof Map)) this.fail(`${name}[${index}]`, "an object", value);
      return new Fields(value, `${this.path}.${name}[${index}]`);
    });
  }

  list(name: string): readonly JsonValue[] {
    const value = this.get(name);
    if (!Array.isArray(value)) this.fail(name, "a list", value);
    return value;
  }

  /** A list of integers. Throws `InvalidConfig`. */
  integers(name: string): number[] {
    return this.list(name).map((value, index) => {
      if (!isInteger(value)) this.fail(`${name}[${index}]`, "an integer", value);
      return value.value;
    });
  }

  /** One token id or a list of them; empty when absent. Throws `InvalidConfig`. */
  tokenIds(name: string): number[] {
    const value = this.get(name);
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map((id) => {
      if (!isInteger(id) || id.value < 0) this.fail(name, "a token id", id);
      return id.value;
    });
  }

  /** Refuses a field. Throws `InvalidConfig`. */
  fail(name: string, wanted: string, value: JsonValue | number | undefined): never {
    const found = describe(value);
    throw new ModelsError(
      "InvalidConfig",
      `${this.path}.${name} must be ${wanted}, it is ${found}.`,
      {
        field: `${this.path}.${name}`,
        value: found,
      },
    );
  }

  /** Null counts as absent, as in Hugging Face configs. */
  private get(name: string): JsonValue | undefined {
    return this.json.get(name) ?? undefined;
  }

  private integer(name: string, fallback?: number): number {
    const value = this.get(name);
    if (value === undefined && fallback !== undefined) return fallback;
    if (!isInteger(value)) this.fail(name, "an integer", value);
    return value.value;
  }
}

function isInteger(value: JsonValue | undefined): value is JsonNumber {
  return value instanceof JsonNumber && value.isInteger && Number.isSafeInteger(value.value);
}

function describe(value: JsonValue | number | undefined): string {
  if (value === undefined) return "missing";
  if (value instanceof Map) return "an object";
  if (Array.isArray(value)) return "a list";
  return typeof value === "number" ? `${value}` : formatJson(value);
}
