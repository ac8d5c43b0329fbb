import { GenerationError } from "../errors";
import { isObject, type JsonObject } from "../tokenizer/json";
import { choice, literal, sequence, type GrammarPart } from "./grammar";
import {
  comma,
  jsonArray,
  jsonBoolean,
  jsonInteger,
  jsonNull,
  jsonNumber,
  jsonString,
  jsonValue,
} from "./json-grammar";
import { integerBetween } from "./json-integers";
import { objectGrammar } from "./json-objects";

/** Longer paths belong to schemas that nest without end. */
const longestPath = 4096;

/** Keywords that say something to people and nothing about values. */
const annotations = new Set(
  "title description default examples example $schema $id $comment $defs definitions deprecated readOnly writeOnly".split(
    " ",
  ),
);

const types = ["string", "number", "integer", "boolean", "null", "object", "array"] as const;
type TypeName = (typeof types)[number];

/** Keywords that are understood, by the type of value that they are about. */
const keywords: Readonly<Record<TypeName, readonly string[]>> = {
  string: ["minLength", "maxLength"],
  number: [],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  boolean: [],
  null: [],
  object: ["properties", "required", "additionalProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
};

/**
 * The grammar of the values that a JSON schema describes (2020-12), for a stated part of it: `type` (also a list), `enum`, `const`,
 * `anyOf`, `allOf` of one, `$ref` within the schema, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`,
 * `minItems`, `maxItems`, `minLength`, `maxLength`, and bounds of integers. Everything that the grammar lets through is valid; not
 * everything valid gets through: members come in the order of `properties`, and where that is given no others come unless
 * `additionalProperties` says so.
 *
 * @throws GenerationError `UnsupportedSchema` naming the keyword and where it stands, `InvalidSchema`
 */
export function schemaGrammar(schema: unknown): GrammarPart {
  return new SchemaCompiler(schema).at(schema, "#");
}

class SchemaCompiler {
  private readonly references = new Map<string, GrammarPart>();

  constructor(private readonly root: unknown) {}

  /** `path` is a JSON pointer, for errors. */
  at(schema: unknown, path: string): GrammarPart {
    if (path.length > longestPath) throw invalid("#", "nests too deeply");
    if (schema === true) return jsonValue;
    if (!isObject(schema)) throw invalid(path, "must be an object or true");
    if ("$ref" in schema) return this.reference(schema, path);
    if ("enum" in schema || "const" in schema) return this.literals(schema, path);
    if ("anyOf" in schema) return this.options(schema, path, "anyOf");
    if ("allOf" in schema) return this.options(schema, path, "allOf");
    const named = typesOf(schema, path);
    only(schema, path, ["type", ...named.flatMap((name) => keywords[name])]);
    return choice(...named.map((name) => this.typed[name](schema, path)));
  }

  private readonly typed: Readonly<
    Record<TypeName, (schema: JsonObject, path: string) => GrammarPart>
  > = {
    string: (schema, path) => jsonString(...range(schema, path, "minLength", "maxLength")),
    number: () => jsonNumber,
    integer: (schema, path) => integers(schema, path),
    boolean: () => jsonBoolean,
    null: () => jsonNull,
    object: (schema, path) => this.object(schema, path),
    array: (schema, path) => this.array(schema, path),
  };

  private object(schema: JsonObject, path: string): GrammarPart {
    const properties = schema["properties"] ?? {};
    if (!isObject(properties)) throw invalid(`${path}/properties`, "must be an object");
    const required = stringList(schema["required"] ?? [], `${path}/required`);
    const names = [...new Set([...Object.keys(properties), ...required])];
    const members = names.map((name) => ({
      name,
      value: Object.hasOwn(properties, name)
        ? this.at(properties[name], `${path}/properties/${pointer(name)}`)
        : jsonValue,
      required: required.includes(name),
    }));
    const additional = schema["additionalProperties"] ?? names.length === 0;
    const others =
      additional === false ? undefined : this.at(additional, `${path}/additionalProperties`);
    return objectGrammar(members, others);
  }

  private array(schema: JsonObject, path: string): GrammarPart {
    const [least, most] = range(schema, path, "minItems", "maxItems");
    const prefix = schema["prefixItems"] ?? [];
    if (!Array.isArray(prefix)) throw invalid(`${path}/prefixItems`, "must be a list");
    const items = schema["items"] ?? true;
    if (prefix.length === 0) {
      if (items === false) return jsonArray(jsonValue, least, 0);
      return jsonArray(this.at(items, `${path}/items`), least, most);
    }
    if (items !== false || least > 0 || most !== Infinity) {
      throw unsupported(
        "prefixItems",
        path,
        "is understood with items: false and without minItems and maxItems",
      );
    }
    const parts = prefix.map((item: unknown, index) =>
      this.at(item, `${path}/prefixItems/${index}`),
    );
    const separated = parts.flatMap((part, index) => (index === 0 ? [part] : [comma, part]));
    return sequence(literal("["), ...separated, literal("]"));
  }

  private literals(schema: JsonObject, path: string): GrammarPart {
    only(schema, path, ["type", "enum", "const"]);
    const listed = schema["enum"] ?? [schema["const"]];
    if (!Array.isArray(listed)) throw invalid(`${path}/enum`, "must be a list");
    const fixed = "const" in schema ? JSON.stringify(schema["const"]) : undefined;
    const named = typesOf(schema, path);
    const texts = listed
      .filter((value) => named.some((name) => isOfType(value, name)))
      .map((value) => JSON.stringify(value))
      .filter((text) => fixed === undefined || text === fixed);
    if (texts.length === 0) throw invalid(path, "allows no value at all");
    return choice(...texts.map((text) => literal(text)));
  }

  private options(schema: JsonObject, path: string, keyword: "anyOf" | "allOf"): GrammarPart {
    only(schema, path, [keyword]);
    const options = schema[keyword];
    if (!Array.isArray(options) || options.length === 0) {
      throw invalid(`${path}/${keyword}`, "must be a list that is not empty");
    }
    if (keyword === "allOf" && options.length > 1) {
      throw unsupported("allOf", path, "is understood with a single schema");
    }
    return choice(
      ...options.map((option: unknown, index) => this.at(option, `${path}/${keyword}/${index}`)),
    );
  }

  private reference(schema: JsonObject, path: string): GrammarPart {
    only(schema, path, ["$ref"]);
    const target = schema["$ref"];
    if (typeof target !== "string" || !/^#(\/|$)/.test(target)) {
      throw unsupported("$ref", path, "must point into the schema itself (#/…)");
    }
    const known = this.references.get(target);
    if (known) return known;
    let part: GrammarPart | undefined;
    const reference: GrammarPart = { kind: "reference", resolve: () => part! };
    this.references.set(target, reference);
    part = this.at(resolvePointer(this.root, target, path), target);
    if (part === reference) throw invalid(path, "refers to itself");
    return reference;
  }
}

function typesOf(schema: JsonObject, path: string): readonly TypeName[] {
  const named = schema["type"];
  // A schema without a type is about the types that its keywords are about.
  if (named === undefined) {
    const implied = types.filter((name) => keywords[name].some((keyword) => keyword in schema));
    return implied.length > 0 ? implied : types;
  }
  const list: readonly unknown[] = Array.isArray(named) ? named : [named];
  const unknown = list.find((name) => !(types as readonly unknown[]).includes(name));
  if (unknown !== undefined || list.length === 0) {
    throw invalid(`${path}/type`, `must be one of ${types.join(", ")}, or a list of them`);
  }
  return list as readonly TypeName[];
}

function isOfType(value: unknown, name: TypeName): boolean {
  if (name === "null") return value === null;
  if (name === "array") return Array.isArray(value);
  if (name === "object") return isObject(value);
  if (name === "integer") return Number.isInteger(value);
  return typeof value === name;
}

/** Refuses what is neither understood here nor an annotation. */
function only(schema: JsonObject, path: string, understood: readonly string[]): void {
  for (const keyword of Object.keys(schema)) {
    if (annotations.has(keyword) || understood.includes(keyword)) continue;
    throw unsupported(keyword, path, "is not supported here");
  }
}

function integers(schema: JsonObject, path: string): GrammarPart {
  const bound = (keyword: string) => {
    const value = schema[keyword];
    if (value === undefined || (typeof value === "number" && Number.isFinite(value))) return value;
    throw invalid(`${path}/${keyword}`, "must be a number");
  };
  const above = bound("exclusiveMinimum") ?? -Infinity;
  const below = bound("exclusiveMaximum") ?? Infinity;
  const least = Math.max(Math.ceil(bound("minimum") ?? -Infinity), Math.floor(above) + 1);
  const most = Math.min(Math.floor(bound("maximum") ?? Infinity), Math.ceil(below) - 1);
  if (least === -Infinity && most === Infinity) return jsonInteger;
  if (least > most) throw invalid(path, "allows no integer at all");
  return integerBetween(least, most);
}

function range(schema: JsonObject, path: string, low: string, high: string): [number, number] {
  const count = (keyword: string, fallback: number) => {
    const value = schema[keyword] ?? fallback;
    if (value === fallback || (Number.isSafeInteger(value) && Number(value) >= 0)) {
      return Number(value);
    }
    throw invalid(`${path}/${keyword}`, "must be a whole number from 0 on");
  };
  const [least, most] = [count(low, 0), count(high, Infinity)];
  if (least > most) throw invalid(path, `has a ${low} above its ${high}`);
  return [least, most];
}

function stringList(value: unknown, path: string): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw invalid(path, "must be a list of strings");
}

const pointer = (name: string) => name.replaceAll("~", "~0").replaceAll("/", "~1");

function resolvePointer(root: unknown, target: string, path: string): unknown {
  let found = root;
  for (const part of target.split("/").slice(1)) {
    const name = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    const inside = (isObject(found) || Array.isArray(found)) && Object.hasOwn(found, name);
    if (!inside) throw invalid(path, `refers to ${target}, which is not there`);
    found = (found as JsonObject)[name];
  }
  return found;
}

function unsupported(keyword: string, path: string, why: string): GenerationError {
  return new GenerationError("UnsupportedSchema", `JSON schema: ${keyword} at ${path} ${why}.`, {
    keyword,
    path,
  });
}

function invalid(path: string, problem: string): GenerationError {
  return new GenerationError("InvalidSchema", `JSON schema: ${path} ${problem}.`, { path });
}
