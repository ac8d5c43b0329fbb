import Ajv2020 from "ajv/dist/2020";
import { describe, expect, it } from "vitest";
import { Random } from "../random";
import { largest } from "../sampling-filters";
import { byteLevelMetadata, sampleTokenizerJson, sentencePieceMetadata } from "../testing/golden";
import { Tokenizer } from "../tokenizer/tokenizer";
import { JsonConstraints } from "./json-constraint";

const schema = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 20 },
    size: { type: "integer", minimum: 1, maximum: 99 },
    parts: { type: "array", items: { type: "boolean" }, maxItems: 3 },
  },
  required: ["name", "size", "parts"],
};

const tokenizers = {
  sample: Tokenizer.fromJson(sampleTokenizerJson),
  "byte-level": Tokenizer.fromGguf(byteLevelMetadata("gpt-2")),
  SentencePiece: Tokenizer.fromGguf(sentencePieceMetadata()),
};

/** What a model of random taste writes under a constraint, token by token. */
function write(tokenizer: Tokenizer, constraint = constraintsOf(tokenizer).schema(schema)) {
  const random = new Random(3);
  const tokens: number[] = [];
  while (!constraint.complete) {
    const logits = Float32Array.from({ length: tokenizer.vocabSize }, () => random.next());
    constraint.mask(logits);
    const token = largest(logits);
    if (token === stop) break;
    constraint.accept(token);
    tokens.push(token);
  }
  return { tokens, text: tokenizer.decode(tokens) };
}

const stop = 0;
const constraintsOf = (tokenizer: Tokenizer) =>
  new JsonConstraints(() => tokenizer.tokenBytes(), [stop]);

describe("token bytes", () => {
  it.each(Object.entries(tokenizers))("laid end to end are the text: %s", (_, tokenizer) => {
    const bytes = tokenizer.tokenBytes();
    const text = 'x = {"größe": [1, 2], "😀": "a\\n"}';
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    const joined = Buffer.concat(Array.from(ids, (id) => bytes[id]!));
    expect(joined.toString("utf8").trimStart()).toBe(text);
  });

  it("are none for special tokens, and refused where neighbours matter", () => {
    const json = (decoder: object | null) => ({
      model: { type: "BPE", vocab: { a: 0, "<end>": 1 }, merges: [] },
      added_tokens: [{ id: 1, content: "<end>", special: true }],
      decoder,
    });
    expect(Tokenizer.fromJson(json({ type: "Fuse" })).tokenBytes()).toEqual([
      Uint8Array.of(97),
      undefined,
    ]);
    const joined = Tokenizer.fromJson(json({ type: "WordPiece", prefix: "##", cleanup: false }));
    expect(() => joined.tokenBytes()).toThrow(
      expect.objectContaining({ code: "UnsupportedTokenizer" }) as Error,
    );
  });
});

describe("JsonConstraint", () => {
  it.each(Object.entries(tokenizers))("makes any model write what is asked: %s", (_, tokenizer) => {
    const validate = new Ajv2020().compile(schema);
    const { text } = write(tokenizer);
    expect(validate(JSON.parse(text)), text).toBe(true);
  });

  it("allows exactly the tokens whose bytes may follow", () => {
    const tokenizer = tokenizers.sample;
    const constraint = constraintsOf(tokenizer).schema({ enum: ["ab", "ac", 1] });
    const bytes = tokenizer.tokenBytes();
    const allowed = () => {
      const logits = new Float32Array(tokenizer.vocabSize + 5);
      constraint.mask(logits);
      return [...logits.keys()].filter((token) => logits[token] === 0);
    };
    const wanted = ['"ab"', '"ac"', "1"];
    const fits = (token: number) => {
      const own = bytes[token] && Buffer.from(bytes[token]).toString("latin1");
      return own && wanted.some((text) => text.startsWith(own));
    };
    expect(allowed()).toEqual([...bytes.keys()].filter(fits));
    expect(allowed().length).toBeGreaterThan(1);
    constraint.accept(tokenizer.encode('"', { addSpecialTokens: false })[0]!);
    expect(allowed()).not.toContain(stop);
    expect(() => constraint.accept(tokenizer.encode("1")[0]!)).toThrow(
      expect.objectContaining({ code: "InvalidOption" }) as Error,
    );
  });

  it("allows the end where the text is whole, and demands it where nothing may follow", () => {
    const tokenizer = tokenizers.sample;
    const constraint = constraintsOf(tokenizer).schema({
      type: "integer",
      maximum: 99,
      minimum: 0,
    });
    const digit = tokenizer.encode("1", { addSpecialTokens: false })[0]!;
    const allowsStop = () => {
      const logits = new Float32Array(tokenizer.vocabSize);
      constraint.mask(logits);
      return logits[stop] === 0;
    };
    expect(allowsStop()).toBe(false);
    constraint.accept(digit);
    expect([allowsStop(), constraint.complete]).toEqual([true, false]);
    constraint.accept(stop);
    constraint.accept(digit);
    expect([allowsStop(), constraint.complete]).toEqual([true, true]);
  });

  it("goes its own way after a fork", () => {
    const tokenizer = tokenizers.sample;
    const [open] = tokenizer.encode("{", { addSpecialTokens: false });
    const one = constraintsOf(tokenizer).object();
    one.accept(open!);
    const other = one.fork();
    one.accept(tokenizer.encode("}", { addSpecialTokens: false })[0]!);
    expect([one.complete, other.complete]).toEqual([true, false]);
    expect(JSON.parse(`{${write(tokenizer, other).text}`)).toEqual(expect.any(Object));
  });

  it("says so when the vocabulary cannot go on", () => {
    const poor = new JsonConstraints(() => [undefined, Uint8Array.of(123)], [stop]);
    const constraint = poor.object();
    constraint.accept(1);
    expect(() => constraint.mask(new Float32Array(2))).toThrow(
      expect.objectContaining({ code: "ConstraintDeadEnd" }) as Error,
    );
  });

  it("refuses a schema that no value fits", () => {
    const circular = { $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } };
    expect(() =>
      constraintsOf(tokenizers.sample).schema({ ...circular, $ref: "#/$defs/a" }),
    ).toThrow(expect.objectContaining({ code: "InvalidSchema" }) as Error);
  });

  it("masks a vocabulary of 49,152 tokens in a few milliseconds", () => {
    // As many tokens of as many bytes as published vocabularies have: words over the sample's own tokens.
    const own = tokenizers.sample.tokenBytes().filter((bytes) => bytes !== undefined);
    const random = new Random(4);
    const tokens = Array.from({ length: 49_152 }, (_, id) => {
      if (id < own.length) return own[id];
      const parts = Array.from({ length: 2 }, () => own[Math.floor(random.next() * own.length)]!);
      return Uint8Array.from(parts.flatMap((part) => [...part]));
    });
    const constraint = new JsonConstraints(() => tokens, [stop]).schema(schema);
    const quote = own.findIndex((bytes) => bytes.length === 1 && bytes[0] === 34);
    const logits = new Float32Array(tokens.length);
    const masked = () => {
      // Processor time: a busy machine stretches every other.
      const before = process.cpuUsage();
      constraint.mask(logits.fill(0));
      return process.cpuUsage(before).user / 1000;
    };
    masked();
    for (const byte of Buffer.from('{"name":')) {
      constraint.accept(own.findIndex((bytes) => bytes.length === 1 && bytes[0] === byte));
    }
    constraint.accept(quote);
    const letter = own.findIndex((bytes) => bytes.length === 1 && bytes[0] === 97);
    const times = Array.from({ length: 15 }, () => {
      constraint.accept(letter);
      return masked();
    });
    const median = times.toSorted((a, b) => a - b)[7]!;
    expect(median).toBeLessThan(25);
    expect(masked()).toBeLessThan(10);
  });
});
