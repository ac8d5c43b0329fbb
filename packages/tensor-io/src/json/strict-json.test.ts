import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TensorIoError } from "../errors";
import { expectCode } from "../test-support";
import { formatJson } from "./format-json";
import { JsonNumber, parseStrictJson, type JsonValue } from "./strict-json";

/** The same document as `JSON.parse` gives it. */
function plain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return value.value;
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof Map)) return value;
  const result: Record<string, unknown> = {};
  for (const [key, item] of value) {
    Object.defineProperty(result, key, { value: plain(item), enumerable: true });
  }
  return result;
}

describe("values", () => {
  test.each([
    "null",
    "true",
    "false",
    '""',
    "0",
    "-0.5e+10",
    "[]",
    "{}",
    ' [ 1 , {"a":[]} ]\r\n\t',
  ])("%s", (text) => {
    expect(plain(parseStrictJson(text))).toEqual(JSON.parse(text));
  });

  test("escapes", () => {
    const text = String.raw`"\"\\\/\b\f\n\r\té😀 line"`;
    expect(parseStrictJson(text)).toBe(JSON.parse(text));
  });

  test("numbers keep their text, so 4.0 is not an integer and 2^53 + 1 is not rounded", () => {
    const [fraction, large, exponent] = parseStrictJson(
      "[4.0, 9007199254740993, 1e2]",
    ) as JsonNumber[];
    expect([fraction.value, fraction.isInteger]).toEqual([4, false]);
    expect([large.text, large.isInteger]).toEqual(["9007199254740993", true]);
    expect([exponent.value, exponent.isInteger]).toEqual([100, false]);
  });

  test("__proto__ is a key like any other", () => {
    const object = parseStrictJson('{"__proto__":"a","constructor":"b"}');
    expect(object).toEqual(
      new Map([
        ["__proto__", "a"],
        ["constructor", "b"],
      ]),
    );
  });
});

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const bytes = (...values: number[]) => Uint8Array.from(values);

describe("refusals", () => {
  test.each([
    "",
    " ",
    "{",
    "[",
    '"',
    '"a',
    "[1",
    '{"a"',
    '{"a":',
    '{"a":1',
    "{a:1}",
    "{'a':1}",
    "[1,]",
    '{"a":1,}',
    "[,1]",
    "01",
    "1.",
    ".5",
    "+1",
    "-",
    "1e",
    "NaN",
    "Infinity",
    "undefined",
    "tru",
    "nulll",
    "[] []",
    '"\t"',
    String.raw`"\x41"`,
    String.raw`"\u00g0"`,
    String.raw`"\u12"`,
    String.raw`"\ud800"`,
    String.raw`"\udc00\ud800"`,
    '"\ud800"',
    "\ufeff1",
    "\u00a01",
    "// x\n1",
  ])("JsonSyntax: %j", async (text) => {
    await expectCode("JsonSyntax", () => parseStrictJson(text));
  });

  test.each([
    '{"a":1,"a":1}',
    String.raw`{"a":1,"\u0061":2}`,
    '{"b":{"x":1,"y":2,"x":3}}',
    '{"":1,"":2}',
  ])("JsonDuplicateKey: %s", async (text) => {
    await expectCode("JsonDuplicateKey", () => parseStrictJson(text));
  });

  test("the same key in different objects is fine", () => {
    expect(parseStrictJson('[{"a":1},{"a":{"a":2}}]')).toHaveLength(2);
  });

  test("JsonTooDeep, and the limit itself passes", async () => {
    parseStrictJson(nested(64));
    await expectCode("JsonTooDeep", () => parseStrictJson(nested(65)));
    await expectCode("JsonTooDeep", () => parseStrictJson("[".repeat(1_000_000)));
    await expectCode("JsonTooDeep", () => parseStrictJson('{"a":[]}', { maxDepth: 1 }));
    // Depth is nesting, not the number of containers.
    parseStrictJson("[[],[],[]]", { maxDepth: 2 });
  });

  test("JsonTooLarge by length and by values, and the limits themselves pass", async () => {
    parseStrictJson("[1,2]", { maxLength: 5, maxValues: 3 });
    await expectCode("JsonTooLarge", () => parseStrictJson("[1,2]", { maxLength: 4 }));
    await expectCode("JsonTooLarge", () => parseStrictJson("[1,2]", { maxValues: 2 }));
  });

  test("InvalidUtf8 and a byte order mark", async () => {
    await expectCode("InvalidUtf8", () => parseStrictJson(bytes(0x22, 0xff, 0x22)));
    await expectCode("InvalidUtf8", () => parseStrictJson(bytes(0x22, 0xed, 0xa0, 0x80, 0x22)));
    await expectCode("JsonSyntax", () => parseStrictJson(bytes(0xef, 0xbb, 0xbf, 0x31)));
    expect(parseStrictJson(bytes(0x22, 0xc3, 0xa9, 0x22))).toBe("é");
  });

  test("messages name the file", async () => {
    const error = await expectCode("JsonSyntax", () => parseStrictJson("[", { file: "a.json" }));
    expect(error.message).toMatch(/^a\.json: /);
  });
});

describe("properties", () => {
  test("agrees with JSON.parse on every document JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(4), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(plain(parseStrictJson(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  test("formatJson writes what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(4), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        // Integer-like keys move to the front of a plain object, not of a map.
        expect(formatJson(parseStrictJson(text), indent)).toBe(text);
      }),
    );
  });

  test("any text gives a value or a typed error, and never accepts what JSON.parse refuses", () => {
    const pieces = fc.constantFrom(
      ...'{}[]",:\\ \n0123-+.eEtrufalsn\u00e9\ud83d',
      "true",
      "null",
      '"a"',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const text = parts.join("");
        try {
          expect(plain(parseStrictJson(text))).toEqual(JSON.parse(text));
        } catch (error) {
          if (!TensorIoError.isInstance(error)) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });
});

test("formatJson keeps numbers as they were written", () => {
  const text = '{"eps":1e-05,"theta":10000.0,"list":[],"map":{}}';
  expect(formatJson(parseStrictJson(text), 0)).toBe(text);
});
