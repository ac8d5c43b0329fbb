import type { ChatMessage, TextFormat, TextRequest } from "@transmla/generation";
import { ServerError } from "../errors";
import type { Limits } from "../limits";
import type { ServedModel } from "../service";
import { Fields, isObject, type JsonObject } from "./fields";

/** A request of the OpenAI protocol, understood and within its limits. */
export interface OpenAiRequest {
  /** One per prompt; a conversation is one. */
  readonly texts: readonly TextRequest[];
  readonly stream: boolean;
  /** A last chunk with the token counts. */
  readonly streamUsage: boolean;
  /** Choices per prompt. */
  readonly n: number;
  readonly logprobs: number | undefined;
}

/** Fields of both routes that say nothing about the text. */
const ignored = ["user", "metadata", "store", "service_tier", "safety_identifier"] as const;
const largestSeed = Number.MAX_SAFE_INTEGER;

/** Reads the body of `/v1/completions`. Throws ServerError `InvalidRequest`, `ModelNotFound`. */
export function completionRequest(
  body: JsonObject,
  model: ServedModel,
  limits: Limits,
): OpenAiRequest {
  const fields = new Fields(body);
  const shared = sharedFields(fields, model, limits);
  const maxTokens = fields.integer("max_tokens", 1, model.contextTokens) ?? limits.defaultTokens;
  const logprobs = fields.integer("logprobs", 0, limits.alternatives);
  if (fields.boolean("echo")) throw fields.invalid("echo", "is not supported here");
  const prompts = promptsOf(fields, model, limits);
  fields.end();
  const texts = prompts.map((prompt) => ({ ...shared.text, prompt, maxTokens, logprobs }));
  return { ...shared.mode, texts, logprobs };
}

/** Reads the body of `/v1/chat/completions`. Throws ServerError `InvalidRequest`, `ModelNotFound`. */
export function chatRequest(body: JsonObject, model: ServedModel, limits: Limits): OpenAiRequest {
  const fields = new Fields(body);
  const shared = sharedFields(fields, model, limits);
  const maxTokens =
    fields.integer("max_completion_tokens", 1, model.contextTokens) ??
    fields.integer("max_tokens", 1, model.contextTokens) ??
    limits.defaultTokens;
  fields.ignore("max_tokens", "parallel_tool_calls");
  const alternatives = fields.integer("top_logprobs", 0, limits.alternatives);
  const wantsLogprobs = fields.boolean("logprobs") ?? false;
  if (alternatives !== undefined && !wantsLogprobs) {
    throw fields.invalid("top_logprobs", "needs logprobs: true");
  }
  const logprobs = wantsLogprobs ? (alternatives ?? 0) : undefined;
  const messages = messagesOf(fields);
  const tools = toolsOf(fields);
  fields.end();
  const text = { ...shared.text, prompt: { messages, tools }, maxTokens, logprobs };
  return { ...shared.mode, texts: [text], logprobs };
}

function sharedFields(fields: Fields, model: ServedModel, limits: Limits) {
  const wanted = fields.text("model");
  if (wanted === undefined) throw fields.invalid("model", `is missing; this is ${model.id}`);
  if (wanted !== model.id) {
    const message = `The model ${JSON.stringify(wanted)} is not served here; this is ${model.id}.`;
    throw new ServerError("ModelNotFound", message, { field: "model", served: model.id });
  }
  fields.ignore(...ignored);
  const n = fields.integer("n", 1, limits.choices) ?? 1;
  const stream = fields.boolean("stream") ?? false;
  const streaming = fields.fields("stream_options");
  const streamUsage = streaming?.boolean("include_usage") ?? false;
  streaming?.end();
  const text = {
    n,
    // OpenAI's default is 1, the libraries' is greedy.
    temperature: fields.number("temperature", 0, 2) ?? 1,
    topP: fields.number("top_p", 0, 1),
    topK: fields.integer("top_k", 0, 1 << 20),
    minP: fields.number("min_p", 0, 1),
    presencePenalty: fields.number("presence_penalty", -2, 2),
    frequencyPenalty: fields.number("frequency_penalty", -2, 2),
    repetitionPenalty: fields.number("repetition_penalty", 0.01, 100),
    logitBias: biasOf(fields),
    seed: seedOf(fields),
    stop: stopsOf(fields, limits),
    format: formatOf(fields),
  };
  return { text, mode: { n, stream, streamUsage } };
}

/** OpenAI's seeds may be negative, the engine's are not: they wrap around. */
function seedOf(fields: Fields): number | undefined {
  const seed = fields.integer("seed", -largestSeed, largestSeed);
  return seed !== undefined && seed < 0 ? seed + largestSeed + 1 : seed;
}

function stopsOf(fields: Fields, { stops, stopCharacters }: Limits): readonly string[] {
  const value = fields.value("stop") ?? [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isStop = (item: unknown): item is string =>
    typeof item === "string" && item !== "" && item.length <= stopCharacters;
  if (list.length <= stops && list.every(isStop)) return list;
  throw fields.invalid(
    "stop",
    `must be at most ${stops} texts of 1 to ${stopCharacters} characters`,
  );
}

function biasOf(fields: Fields): Readonly<Record<number, number>> | undefined {
  const bias = fields.object("logit_bias");
  if (bias === undefined) return undefined;
  const entries = Object.entries(bias);
  const isBias = ([token, value]: readonly [string, unknown]) =>
    /^\d{1,9}$/.test(token) && typeof value === "number" && Math.abs(value) <= 100;
  if (entries.length > 1024 || !entries.every(isBias)) {
    throw fields.invalid(
      "logit_bias",
      "must map at most 1024 token ids to numbers from -100 to 100",
    );
  }
  // As with OpenAI, -100 bans a token and 100 leaves no other.
  return Object.fromEntries(
    entries.map(([token, value]) => [Number(token), value === -100 ? -Infinity : Number(value)]),
  );
}

function formatOf(fields: Fields): TextFormat | undefined {
  const format = fields.fields("response_format");
  if (format === undefined) return undefined;
  const type = format.word("type", ["text", "json_object", "json_schema"]);
  if (type === undefined) throw format.invalid("type", "is missing");
  const described = format.fields("json_schema");
  const schema = described?.value("schema");
  described?.ignore("name", "description", "strict");
  described?.end();
  format.end();
  if (type === "text") return undefined;
  if (type === "json_object") return { type: "json" };
  if (schema === undefined) throw format.invalid("json_schema.schema", "is missing");
  return { type: "schema", schema };
}

/** A text, a list of texts, token ids, or a list of lists of them. */
function promptsOf(fields: Fields, model: ServedModel, { prompts }: Limits) {
  const value = fields.value("prompt");
  const problem = `must be a text or token ids, or a list of at most ${prompts} of these`;
  const isIds = (item: unknown): item is readonly number[] =>
    Array.isArray(item) &&
    item.length > 0 &&
    item.length <= model.contextTokens &&
    item.every((id) => Number.isSafeInteger(id) && Number(id) >= 0 && Number(id) < 2 ** 31);
  const isPrompt = (item: unknown): item is string | readonly number[] =>
    typeof item === "string" || isIds(item);
  if (isPrompt(value)) return [value];
  if (Array.isArray(value) && value.length > 0 && value.length <= prompts) {
    const list: readonly unknown[] = value;
    if (list.every(isPrompt)) return list;
  }
  throw fields.invalid("prompt", value === undefined ? "is missing" : problem);
}

function messagesOf(fields: Fields): readonly ChatMessage[] {
  const messages = fields.list("messages", 10_000);
  if (messages === undefined || messages.length === 0) {
    throw fields.invalid("messages", "must be a list that is not empty");
  }
  return messages.map((message, index) => {
    const at = `messages.${index}`;
    if (!isObject(message)) throw fields.invalid(at, "must be an object");
    const { role } = message;
    if (typeof role !== "string") throw fields.invalid(`${at}.role`, "must be a string");
    return { ...message, role, content: contentOf(fields, message["content"], `${at}.content`) };
  });
}

/** Texts in parts are one text; most templates know nothing of parts. */
function contentOf(fields: Fields, content: unknown, at: string): string {
  if (typeof content === "string") return content;
  // A message that only calls tools has none.
  if (content === undefined || content === null) return "";
  const isText = (part: unknown): part is { readonly text: string } =>
    isObject(part) && part["type"] === "text" && typeof part["text"] === "string";
  if (Array.isArray(content) && content.every(isText)) {
    return content.map(({ text }) => text).join("");
  }
  throw fields.invalid(at, "must be a text, or a list of parts of type text");
}

function toolsOf(fields: Fields): readonly unknown[] | undefined {
  const tools = fields.list("tools", 1024);
  const choice = fields.value("tool_choice") ?? "auto";
  if (choice !== "auto" && choice !== "none") {
    throw fields.invalid("tool_choice", "must be auto or none: nothing else can be promised");
  }
  if (tools?.every(isObject) === false) throw fields.invalid("tools", "must be a list of objects");
  return choice === "none" || tools?.length === 0 ? undefined : tools;
}
