import { replaced, type Attack, type Files } from "../attack";
import { tokenizerJson, whole } from "../model";

type Json = Record<string, unknown>;
interface TokenizerJson extends Json {
  model: { vocab: Record<string, unknown>; merges: unknown } & Json;
  added_tokens: unknown;
}

const withTokenizer = (content: string | Uint8Array | undefined): Files =>
  replaced(whole, { "tokenizer.json": content });

/** The model with a tokenizer that was changed as an object. */
function edited(change: (tokenizer: TokenizerJson) => void): Files {
  const object = JSON.parse(tokenizerJson) as TokenizerJson;
  change(object);
  return withTokenizer(JSON.stringify(object));
}

const withSetting = (content: string | Uint8Array) =>
  replaced(whole, { "tokenizer_config.json": content });

const cases: readonly (readonly [code: string, name: string, bad: Files])[] = [
  ["MissingTokenizer", "no tokenizer", withTokenizer(undefined)],
  ["TokenizerNotJson", "an empty file", withTokenizer("")],
  [
    "TokenizerNotJson",
    "a file that ends in the middle",
    withTokenizer(tokenizerJson.slice(0, 9000)),
  ],
  ["TokenizerNotJson", "bytes that are not UTF-8", withTokenizer(Uint8Array.of(0x7b, 0xff, 0x7d))],
  ["TokenizerNotJson", "settings that are not JSON", withSetting("{")],
  ["InvalidTokenizer", "a file that is a list", withTokenizer("[]")],
  ["InvalidTokenizer", "settings that are a list", withSetting("[]")],
  [
    "InvalidTokenizer",
    "a list in a list, a hundred thousand times",
    withTokenizer(`{"model":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
  ],
  ["InvalidTokenizer", "no model", edited((json) => delete (json as Json)["model"])],
  ["UnsupportedTokenizer", "an unknown model", edited((json) => (json.model["type"] = "Magic"))],
  [
    "UnsupportedTokenizer",
    "a model that every object has",
    edited((json) => (json.model["type"] = "constructor")),
  ],
  [
    "UnsupportedTokenizer",
    "an unknown normaliser",
    edited((json) => (json["normalizer"] = { type: "Magic" })),
  ],
  [
    "UnsupportedTokenizer",
    "an unknown splitter",
    edited((json) => (json["pre_tokenizer"] = { type: "Magic" })),
  ],
  [
    "UnsupportedTokenizer",
    "a pattern that backtracks for ever",
    edited((json) => {
      const pattern = { Regex: "(?:[^?]+)+[?][?]" };
      json["pre_tokenizer"] = { type: "Split", pattern, behavior: "Isolated", invert: false };
    }),
  ],
  [
    "UnsupportedTokenizer",
    "an unknown decoder",
    edited((json) => (json["decoder"] = { type: "Magic" })),
  ],
  ["InvalidTokenizer", "a normaliser that is text", edited((json) => (json["normalizer"] = "NFC"))],
  [
    "InvalidTokenizer",
    "a pattern that is none",
    edited((json) => {
      json["pre_tokenizer"] = { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" };
    }),
  ],
  [
    "InvalidTokenizer",
    "a vocabulary that is a list",
    edited((json) => (json.model.vocab = [] as never)),
  ],
  ["InvalidTokenizer", "an id twice", edited((json) => (json.model.vocab["twice"] = 7))],
  ["InvalidTokenizer", "a negative id", edited((json) => (json.model.vocab["more"] = -1))],
  ["InvalidTokenizer", "an id of 2^31", edited((json) => (json.model.vocab["more"] = 2 ** 31))],
  ["InvalidTokenizer", "an id with a fraction", edited((json) => (json.model.vocab["more"] = 0.5))],
  ["InvalidTokenizer", "merges that are text", edited((json) => (json.model.merges = "a b"))],
  ["InvalidTokenizer", "a merge of three", edited((json) => (json.model.merges = ["a b c"]))],
  ["InvalidTokenizer", "a merge of no tokens", edited((json) => (json.model.merges = ["€ €"]))],
  [
    "InvalidTokenizer",
    "an added token without text",
    edited((json) => (json.added_tokens = [{ id: 0 }])),
  ],
  [
    "InvalidTokenizer",
    "an added token that is empty",
    edited((json) => (json.added_tokens = [{ id: 0, content: "" }])),
  ],
];

export const attacks: readonly Attack[] = cases.map(([code, name, bad]) => ({
  kind: "tokenizer",
  name,
  code,
  bad,
  twin: whole,
}));
