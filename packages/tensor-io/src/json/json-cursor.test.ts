import { expect, test } from "vitest";
import { expectCode } from "../test-support";
import { JsonCursor } from "./json-cursor";
import { parseStrictJson } from "./strict-json";

const cursor = (text: string) => new JsonCursor(parseStrictJson(text), "config.json");

const integer = (text: string, range = {}) => cursor(text).integer(range);

test("reads every type", () => {
  const config = cursor('{"a":1,"b":1.5,"c":"x","d":true,"e":[1,2],"f":{"g":-3},"h":null}');
  expect(config.get("a").integer()).toBe(1);
  expect(config.get("a").number()).toBe(1);
  expect(config.get("b").number()).toBe(1.5);
  expect(config.get("c").string()).toBe("x");
  expect(config.get("d").boolean()).toBe(true);
  expect(
    config
      .get("e")
      .items()
      .map((item) => item.integer()),
  ).toEqual([1, 2]);
  expect(config.get("f").get("g").integer({ min: -5 })).toBe(-3);
  expect(
    config
      .get("f")
      .entries()
      .map(([key]) => key),
  ).toEqual(["g"]);
  expect([config.optional("h"), config.optional("absent")]).toEqual([undefined, undefined]);
  expect(config.optional("c")?.string()).toBe("x");
});

test("JsonMissingKey names the path", async () => {
  const error = await expectCode("JsonMissingKey", () => cursor('{"a":{}}').get("a").get("b c"));
  expect(error.message).toBe('config.json: a."b c" is missing');
});

test("JsonWrongType says what was expected and found", async () => {
  const config = cursor('{"a":[{"b":"abc"}],"n":4.0}');
  const item = config.get("a").items()[0].get("b");
  const error = await expectCode("JsonWrongType", () => item.number());
  expect(error.message).toBe('config.json: a[0].b must be a number, found "abc"');
  await expectCode("JsonWrongType", () => config.string());
  await expectCode("JsonWrongType", () => config.items());
  await expectCode("JsonWrongType", () => item.object());
  await expectCode("JsonWrongType", () => item.boolean());
  // Integers only where integers are meant.
  await expectCode("JsonWrongType", () => config.get("n").integer());
  expect(config.get("n").number()).toBe(4);
});

test("JsonOutOfRange: negative, unsafe, infinite, outside limits", async () => {
  await expectCode("JsonOutOfRange", () => integer("-1"));
  await expectCode("JsonOutOfRange", () => integer("9007199254740993"));
  await expectCode("JsonOutOfRange", () => integer("0", { min: 1 }));
  await expectCode("JsonOutOfRange", () => integer("11", { max: 10 }));
  await expectCode("JsonOutOfRange", () => cursor("1e999").number());
  expect([integer("1", { min: 1 }), integer("10", { max: 10 })]).toEqual([1, 10]);
});
