import {
  parseStrictJson,
  type ByteSource,
  type JsonObject,
  type JsonValue,
} from "@transmla/tensor-io";
import type { Document } from "./batch";
import { checkCount, type DocumentSource } from "./documents";
import { TrainingError } from "./errors";
import { lineSource, type LineSource } from "./lines";

/** What conversations need of a tokenizer; the `Tokenizer` of `@transmla/generation` is one. */
export interface ConversationTokenizer {
  encode(
    text: string,
    options?: { readonly addSpecialTokens?: boolean; readonly parseSpecialTokens?: boolean },
  ): Int32Array;
  tokenToId(token: string): number | undefined;
}

export interface ConversationOptions {
  /** Most predictions of a document; what is longer is cut at its end. */
  readonly context: number;
  /** Token at the end of a document, where the template has none of its own. */
  readonly endToken?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A stretch of a document. */
interface Segment {
  readonly text: string;
  /** Whether its tokens are to be learnt. */
  readonly learnt: boolean;
  /** Text of a template, in which special tokens are meant. */
  readonly special?: boolean;
}

/** How the turns of a conversation are written. */
interface Template {
  readonly open: (role: string) => string;
  readonly close: string;
}

/** Templates by the token that a vocabulary must have for them; the last is for all others. */
const templates: readonly (Template & { readonly token?: string })[] = [
  {
    token: "<|im_start|>",
    open: (role) => `<|im_start|>${role}\n`,
    close: "<|im_end|>\n",
  },
  { open: (role) => `${role}: `, close: "\n" },
];

/** Reasoning before an answer, as DeepSeek-R1 writes it (arXiv 2501.12948). */
const withReasoning = (reasoning: string, answer: string): string =>
  `<think>\n${reasoning}\n</think>\n\n${answer}`;

/**
 * Conversations in JSON lines, each `{"messages": [{"role", "content", "reasoning_content"?}, …]}`,
 * `{"prompt", "completion", "reasoning"?}` or `{"text"}`. Loss is on what the assistant says (its reasoning included), on
 * completions and on plain texts. Lines are checked at once and read again when they are needed.
 *
 * @throws TrainingError `InvalidData` naming the line, `TooLittleText`, `InvalidOption`; TensorIoError for an unreadable file
 */
export async function conversationDocuments(
  source: ByteSource,
  tokenizer: ConversationTokenizer,
  { context, endToken, signal }: ConversationOptions,
): Promise<DocumentSource> {
  checkCount("context", context, 1);
  const template = templates.find(
    ({ token }) => token === undefined || tokenizer.tokenToId(token) !== undefined,
  )!;
  const lines = await lineSource(source, signal);
  for (let line = 0; line < lines.count; line++)
    await segmentsOf(lines, line, template, source.name);
  if (lines.count === 0) {
    throw new TrainingError("TooLittleText", `${source.name} has no lines.`, { file: source.name });
  }
  return {
    count: lines.count,
    read: async (index) => {
      const segments = await segmentsOf(lines, index, template, source.name);
      return encode(segments, tokenizer, endToken, context);
    },
  };
}

async function segmentsOf(
  lines: LineSource,
  index: number,
  template: Template,
  file: string,
): Promise<readonly Segment[]> {
  const { bytes, number } = await lines.read(index);
  const json = parseStrictJson(bytes, { file: `${file}, line ${number}` });
  const segments = json instanceof Map ? conversation(json, template) : undefined;
  const learnt = segments?.some((segment) => segment.learnt && segment.text !== "") ?? false;
  if (segments && learnt) return segments;
  throw new TrainingError(
    "InvalidData",
    `${file}, line ${number}: expected {"messages": […]} with an assistant's turn, {"prompt", "completion"} or {"text"}, all strings and not empty.`,
    { file, line: number },
  );
}

function conversation(json: JsonObject, template: Template): readonly Segment[] | undefined {
  const [text, prompt, completion] = ["text", "prompt", "completion"].map((key) => json.get(key));
  if (typeof text === "string") return [{ text, learnt: true }];
  if (typeof prompt === "string" && typeof completion === "string") {
    const answer = answerOf(json.get("reasoning"), completion);
    return answer === undefined
      ? undefined
      : [
          { text: prompt, learnt: false },
          { text: answer, learnt: true },
        ];
  }
  const messages = json.get("messages");
  if (!Array.isArray(messages)) return undefined;
  const turns = messages.map((message) => turn(message, template));
  return turns.every((segments) => segments !== undefined) ? turns.flat() : undefined;
}

function turn(message: JsonValue, { open, close }: Template): Segment[] | undefined {
  if (!(message instanceof Map)) return undefined;
  const [role, content] = [message.get("role"), message.get("content")];
  if (typeof role !== "string" || typeof content !== "string") return undefined;
  const learnt = role === "assistant";
  const text = learnt ? answerOf(message.get("reasoning_content"), content) : content;
  if (text === undefined) return undefined;
  return [
    { text: open(role), learnt: false, special: true },
    { text, learnt },
    { text: close, learnt, special: true },
  ];
}

function answerOf(reasoning: JsonValue | undefined, answer: string): string | undefined {
  if (reasoning === undefined || reasoning === null) return answer;
  return typeof reasoning === "string" ? withReasoning(reasoning, answer) : undefined;
}

/** Segments are encoded one by one, so that where the answer begins does not change how the prompt is split. */
function encode(
  segments: readonly Segment[],
  tokenizer: ConversationTokenizer,
  endToken: number | undefined,
  context: number,
): Document {
  const ids: number[] = [];
  const weights: number[] = [];
  const add = (tokens: ArrayLike<number>, weight: number) => {
    for (const id of Array.from(tokens)) {
      ids.push(id);
      weights.push(weight);
    }
  };
  for (const [i, { text, learnt, special = false }] of segments.entries()) {
    const options = { addSpecialTokens: i === 0, parseSpecialTokens: special };
    add(tokenizer.encode(text, options), learnt ? 1 : 0);
  }
  if (endToken !== undefined) add([endToken], segments.at(-1)!.learnt ? 1 : 0);
  return {
    tokens: Int32Array.from(ids.slice(0, context + 1)),
    weights: Float32Array.from(weights.slice(0, context + 1)),
  };
}
