import Ajv2020 from "ajv/dist/2020";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../random";
import { Automaton } from "./automaton";
import { jsonValue } from "./json-grammar";
import { schemaGrammar } from "./json-schema";

const utf8 = new TextEncoder();

function accepts(automaton: Automaton, text: string): boolean {
  let state = automaton.start;
  for (const byte of utf8.encode(text)) {
    const next = automaton.step(state, byte);
    if (next === null) return false;
    state = next;
  }
  return state.accepting;
}

const bySchema = (schema: unknown) => {
  const automaton = new Automaton(schemaGrammar(schema));
  return (text: string) => accepts(automaton, text);
};

/** A text by random choices of bytes. The closing of whatever is open is preferred more and more, so that it ends. */
function randomText(automaton: Automaton, random: Random): string {
  const bytes: number[] = [];
  let state = automaton.start;
  while (!state.final) {
    if (state.accepting && random.next() < 0.2) break;
    const options = Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => automaton.step(state, byte) !== null,
    );
    const closing = options.filter((byte) => '"}]'.includes(String.fromCharCode(byte)));
    const hurry = closing.length > 0 && random.next() < 0.1 + bytes.length / 200;
    const from = hurry ? closing : options;
    const byte = from[Math.floor(random.next() * from.length)]!;
    bytes.push(byte);
    state = automaton.step(state, byte)!;
  }
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

const person = {
  type: "object",
  title: "Person",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 12 },
    age: { type: "integer", minimum: 0, maximum: 130 },
    tags: { type: "array", items: { enum: ["a", "b", 3, null] }, minItems: 1, maxItems: 3 },
    nested: { anyOf: [{ type: "null" }, { $ref: "#" }] },
  },
  required: ["name", "tags"],
  additionalProperties: false,
};

const schemas: readonly (readonly [string, unknown])[] = [
  ["an object with optional members", person],
  ["anything", {}],
  ["a list of types", { type: ["string", "integer", "null"] }],
  ["a number", { type: "number" }],
  ["a constant", { const: { a: [1, "x"] } }],
  ["an enumeration of one type", { type: "string", enum: ["x", 1, "y"] }],
  ["a bounded array", { type: "array", items: { type: "boolean" }, minItems: 2, maxItems: 4 }],
  [
    "a tuple",
    { type: "array", prefixItems: [{ type: "integer" }, { type: "string" }], items: false },
  ],
  ["an empty array", { type: "array", maxItems: 0 }],
  ["a bounded string", { type: "string", minLength: 2, maxLength: 5 }],
  ["integers between bounds", { type: "integer", minimum: -17, exclusiveMaximum: 230 }],
  ["negative integers", { type: "integer", maximum: -3 }],
  [
    "other members of a type",
    {
      type: "object",
      properties: { a: { type: "integer" }, ab: { type: "null" }, ü: { const: 1 } },
      additionalProperties: { type: "string" },
    },
  ],
  ["a required member that nothing describes", { type: "object", required: ["x"] }],
  [
    "a tree",
    {
      $defs: {
        tree: {
          type: "object",
          properties: {
            value: { type: "integer" },
            children: { type: "array", items: { $ref: "#/$defs/tree" }, maxItems: 2 },
          },
          required: ["value", "children"],
          additionalProperties: false,
        },
      },
      $ref: "#/$defs/tree",
    },
  ],
  ["one of several", { anyOf: [{ type: "integer" }, { allOf: [{ type: "string" }] }] }],
];

describe("schemaGrammar", () => {
  it.each(schemas)("lets through only what Ajv validates: %s", (_, schema) => {
    const validate = new Ajv2020({ strict: false }).compile(schema as object);
    const automaton = new Automaton(schemaGrammar(schema));
    const random = new Random(1);
    for (let count = 0; count < 150; count++) {
      const text = randomText(automaton, random);
      expect(validate(JSON.parse(text)), text).toBe(true);
      expect(accepts(automaton, text), text).toBe(true);
    }
  });

  it("lets through any JSON that is written without needless spaces", () => {
    const automaton = new Automaton(jsonValue);
    const short = fc.jsonValue({ maxDepth: 4, noUnicodeString: false });
    fc.assert(
      fc.property(short, (value) => {
        const text = JSON.stringify(value);
        // Numbers of more digits than these are not written.
        fc.pre(!/\d{16}|e[+-]?\d{3}/.test(text));
        expect(accepts(automaton, text)).toBe(!/\\ud[89a-f]/i.test(text));
      }),
    );
  });

  it("takes members in the order of the schema, the optional ones or not", () => {
    const takes = bySchema(person);
    expect(takes('{"name":"x","tags":["a"]}')).toBe(true);
    expect(takes('{"name": "x", "age": 7, "tags": ["a", 3], "nested": null}')).toBe(true);
    expect(takes('{"name":"x","tags":["b"],"nested":{"name":"y","tags":[null]}}')).toBe(true);
    expect(takes('{"tags":["a"],"name":"x"}')).toBe(false);
    expect(takes('{"name":"x"}')).toBe(false);
    expect(takes('{"name":"","tags":["a"]}')).toBe(false);
    expect(takes('{"name":"x","age":131,"tags":["a"]}')).toBe(false);
    expect(takes('{"name":"x","tags":["a"],"more":1}')).toBe(false);
  });

  it("knows integers exactly", () => {
    for (const [minimum, maximum] of [
      [0, 0],
      [-5, 12],
      [7, 1034],
      [-2001, -98],
      [99, 100],
    ] as const) {
      const takes = bySchema({ type: "integer", minimum, maximum });
      for (let value = -2100; value <= 1100; value++) {
        expect(takes(String(value))).toBe(value >= minimum && value <= maximum);
      }
      expect(takes("-0")).toBe(false);
      expect(takes("00")).toBe(false);
    }
  });

  it("keeps other members apart from the named ones", () => {
    const takes = bySchema({
      type: "object",
      properties: { a: { type: "integer" } },
      additionalProperties: { type: "string" },
    });
    expect(takes('{"a":1,"b":"x","ab":"y","":"z"}')).toBe(true);
    expect(takes('{"b":"x"}')).toBe(true);
    expect(takes('{"a":"x"}')).toBe(false);
    expect(takes('{"b":"x","a":"y"}')).toBe(false);
    expect(takes('{"\\u0061":"x"}')).toBe(false);
  });

  it.each<[unknown, string, string]>([
    [{ type: "string", pattern: "a+" }, "UnsupportedSchema", "pattern"],
    [{ type: "string", format: "date" }, "UnsupportedSchema", "format"],
    [{ type: "number", minimum: 0 }, "UnsupportedSchema", "minimum"],
    [{ type: "array", uniqueItems: true }, "UnsupportedSchema", "uniqueItems"],
    [{ oneOf: [true] }, "UnsupportedSchema", "oneOf"],
    [{ allOf: [true, true] }, "UnsupportedSchema", "allOf"],
    [{ not: {} }, "UnsupportedSchema", "not"],
    [{ $ref: "https://example.com/x" }, "UnsupportedSchema", "$ref"],
    [{ properties: { a: { patternProperties: {} } } }, "UnsupportedSchema", "#/properties/a"],
    [{ anyOf: [true], type: "string" }, "UnsupportedSchema", "type"],
    [{ type: "array", prefixItems: [true] }, "UnsupportedSchema", "prefixItems"],
    [{ $ref: "#/$defs/none" }, "InvalidSchema", "#/$defs/none"],
    [{ $ref: "#" }, "InvalidSchema", "itself"],
    [{ type: "text" }, "InvalidSchema", "#/type"],
    [{ type: "integer", minimum: 2, maximum: 1 }, "InvalidSchema", "no integer"],
    [{ type: "string", minLength: 2, maxLength: 1 }, "InvalidSchema", "minLength"],
    [{ type: "string", minLength: -1 }, "InvalidSchema", "minLength"],
    [{ enum: [] }, "InvalidSchema", "no value"],
    [{ anyOf: [] }, "InvalidSchema", "anyOf"],
    [{ required: [1] }, "InvalidSchema", "required"],
    ["string", "InvalidSchema", "#"],
    [false, "InvalidSchema", "#"],
  ])("refuses %j", (schema, code, named) => {
    const refused = expect.objectContaining({
      code,
      message: expect.stringContaining(named) as string,
    }) as Error;
    expect(() => schemaGrammar(schema)).toThrow(refused);
  });

  it("refuses a schema that nests without end", () => {
    let schema: unknown = true;
    for (let depth = 0; depth < 5000; depth++) schema = { type: "array", items: schema };
    expect(() => schemaGrammar(schema)).toThrow(
      expect.objectContaining({ code: "InvalidSchema" }) as Error,
    );
  });
});
