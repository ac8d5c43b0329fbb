import { GenerationError } from "../errors";
import { isObject, type JsonObject } from "./json";
import { checkPatterns } from "./pattern-safety";

/** An entry of `added_tokens`: text that is one token wherever it stands. */
export interface AddedToken extends JsonObject {
  readonly id: number;
  readonly content: string;
  /** Special tokens steer the model (begin, end, turn); they are read from text only on request. */
  readonly special: boolean;
}

/** The parts of `tokenizer.json` that this package looks into, checked; the rest is the library's. */
export interface TokenizerJson extends JsonObject {
  readonly model: JsonObject;
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: JsonObject | null;
  readonly pre_tokenizer: JsonObject | null;
  readonly post_processor: JsonObject | null;
  readonly decoder: JsonObject | null;
}

/** Token ids stay below this: published vocabularies end near 2^18, and the library indexes an array by id. */
const maxTokenId = 2 ** 24;

const modelTypes = ["BPE", "Unigram", "WordPiece"];

/**
 * Checks the shape of a `tokenizer.json`, so that the library never meets a description that it would misread in silence.
 * @throws GenerationError InvalidTokenizer, UnsupportedTokenizer
 */
export function checkTokenizerJson(json: JsonObject): TokenizerJson {
  if (!isObject(json["model"])) {
    throw invalid("has no model. It is not a tokenizer of the Hugging Face format.", "model");
  }
  const model = checkModel(json["model"]);
  checkPatterns([json["normalizer"], json["pre_tokenizer"], json["decoder"]]);
  return {
    ...json,
    model,
    added_tokens: checkAddedTokens(json["added_tokens"] ?? []),
    normalizer: part(json, "normalizer"),
    pre_tokenizer: part(json, "pre_tokenizer"),
    post_processor: part(json, "post_processor"),
    decoder: part(json, "decoder"),
  };
}

function checkModel(model: JsonObject): JsonObject {
  // Files from before 2020 leave the type out.
  const type = model["type"] ?? (Array.isArray(model["merges"]) ? "BPE" : undefined);
  if (typeof type !== "string" || !modelTypes.includes(type)) {
    const known = modelTypes.join(", ");
    throw new GenerationError(
      "UnsupportedTokenizer",
      `tokenizer.json: model.type ${JSON.stringify(type)} is not supported; known are ${known}.`,
      { type, known },
    );
  }
  if (type === "Unigram") checkPieces(model["vocab"]);
  else checkVocabulary(model["vocab"]);
  if (type === "BPE") checkMerges(model, model["vocab"] as JsonObject);
  return { ...model, type };
}

function checkVocabulary(vocab: unknown): void {
  if (!isObject(vocab)) throw invalid("must map every token to its id", "model.vocab");
  const seen = new Set<unknown>();
  for (const [token, id] of Object.entries(vocab)) {
    checkId(id, `model.vocab[${JSON.stringify(token)}]`);
    if (seen.has(id)) throw invalid(`gives id ${String(id)} to two tokens`, "model.vocab");
    seen.add(id);
  }
}

const isPiece = (piece: unknown) =>
  Array.isArray(piece) && typeof piece[0] === "string" && typeof piece[1] === "number";

function checkPieces(vocab: unknown): void {
  if (!Array.isArray(vocab) || vocab.length === 0 || !vocab.every(isPiece)) {
    throw invalid("must be a list of [token, score]", "model.vocab");
  }
}

/** Every merge joins two tokens into a third; the library would drop text if one of the three were missing. */
function checkMerges(model: JsonObject, vocab: JsonObject): void {
  const { merges, continuing_subword_prefix: prefix } = model;
  if (!Array.isArray(merges)) throw invalid("must be a list", "model.merges");
  const skip = typeof prefix === "string" ? prefix.length : 0;
  for (const [rank, merge] of merges.entries()) {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const [left, right] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
    if (typeof left !== "string" || typeof right !== "string") {
      throw invalid("must be two tokens", `model.merges[${rank}]`);
    }
    for (const token of [left, right, left + right.slice(skip)]) {
      if (Object.hasOwn(vocab, token)) continue;
      throw invalid(`names ${JSON.stringify(token)}, which is no token`, `model.merges[${rank}]`);
    }
  }
}

function checkAddedTokens(value: unknown): AddedToken[] {
  if (!Array.isArray(value)) throw invalid("must be a list", "added_tokens");
  return value.map((token: unknown, index) => {
    const path = `added_tokens[${index}]`;
    if (!isObject(token) || typeof token["content"] !== "string" || token["content"] === "") {
      throw invalid("must have a content", path);
    }
    checkId(token["id"], `${path}.id`);
    return { ...token, special: token["special"] === true } as AddedToken;
  });
}

function checkId(id: unknown, path: string): void {
  if (Number.isSafeInteger(id) && Number(id) >= 0 && Number(id) < maxTokenId) return;
  throw invalid(`must be an integer between 0 and ${maxTokenId - 1}, found ${String(id)}`, path);
}

function part(json: JsonObject, name: string): JsonObject | null {
  const value = json[name] ?? null;
  if (value === null || isObject(value)) return value;
  throw invalid("must be an object or null", name);
}

function invalid(reason: string, path: string): GenerationError {
  return new GenerationError("InvalidTokenizer", `tokenizer.json: ${path} ${reason}.`, { path });
}
