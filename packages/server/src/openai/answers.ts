import type { ChosenToken, TextEvent } from "@transmla/generation";
import { answerOf, type Answer } from "../errors";
import type { TextAnswer } from "../service";
import type { JsonObject } from "./fields";
import { Usage, type ChunkLogprobs, type Envelope, type Protocol } from "./protocol";
import type { OpenAiRequest } from "./request";

/** An accepted request and how it is to be answered. */
export interface OpenTask {
  readonly request: OpenAiRequest;
  readonly protocol: Protocol;
  readonly envelope: Envelope;
  /** One per prompt. */
  readonly answers: readonly TextAnswer[];
}

/** The whole answer at once. */
export async function wholeAnswer(task: OpenTask): Promise<JsonObject> {
  const { request, protocol, envelope, answers } = task;
  const usage = usageOf(answers);
  const count = answers.length * request.n;
  const made = Array.from({ length: count }, () => ({
    text: "",
    tokens: [] as ChosenToken[],
    finishReason: "length",
  }));
  for await (const event of merged(answers, request.n)) {
    const choice = made[event.choice]!;
    if (event.type === "text") {
      choice.text += event.text;
      choice.tokens.push(...event.tokens);
    } else {
      choice.finishReason = event.finishReason;
      countChoice(usage, event, request.n);
    }
  }
  const choices = made.map((choice, index) =>
    protocol.choice(index, choice, request.logprobs !== undefined),
  );
  return { ...envelope, object: protocol.objects.whole, choices, usage: usage.toJSON() };
}

/** The answer in chunks, as the text comes. A failure on the way is the last chunk. */
export async function* answerChunks(task: OpenTask): AsyncGenerator<JsonObject, void, undefined> {
  const { request, protocol, envelope, answers } = task;
  const usage = usageOf(answers);
  const wrap = (choice: JsonObject) => ({
    ...envelope,
    object: protocol.objects.chunk,
    choices: [choice],
    ...(request.streamUsage ? { usage: null } : {}),
  });
  const offsets = Array.from({ length: answers.length * request.n }, () => 0);
  for (const index of offsets.keys()) {
    const first = protocol.firstChunk(index);
    if (first) yield wrap(first);
  }
  for await (const event of merged(answers, request.n)) {
    const { choice } = event;
    if (event.type === "end") {
      countChoice(usage, event, request.n);
      yield wrap(protocol.lastChunk(choice, event.finishReason));
      continue;
    }
    const { text, tokens } = event;
    const logprobs: ChunkLogprobs | undefined =
      request.logprobs === undefined ? undefined : { tokens, offset: offsets[choice]! };
    offsets[choice]! += text.length;
    yield wrap(protocol.chunk(choice, text, logprobs));
  }
  if (request.streamUsage) {
    const object = protocol.objects.chunk;
    yield { ...envelope, object, choices: [], usage: usage.toJSON() };
  }
}

/** A failure in the protocol's form. */
export function errorBody(error: unknown): { readonly answer: Answer; readonly body: JsonObject } {
  const answer = answerOf(error);
  const { message, type, param, code } = answer;
  return { answer, body: { error: { message, type, param, code } } };
}

function usageOf(answers: readonly TextAnswer[]): Usage {
  const usage = new Usage();
  for (const { promptTokens } of answers) usage.addPrompt(promptTokens);
  return usage;
}

function countChoice(usage: Usage, event: TextEvent & { type: "end" }, n: number): void {
  usage.addChoice(event.tokens, event.choice % n === 0 ? event.cachedTokens : 0);
}

/** Events of several answers as they come, their choices numbered through. */
async function* merged(
  answers: readonly TextAnswer[],
  n: number,
): AsyncGenerator<TextEvent, void, undefined> {
  const iterators = answers.map((answer) => answer[Symbol.asyncIterator]());
  const next = async (index: number) => ({ index, result: await iterators[index]!.next() });
  const pending = new Map(iterators.map((_, index) => [index, next(index)]));
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      if (result.done) pending.delete(index);
      else {
        pending.set(index, next(index));
        yield { ...result.value, choice: index * n + result.value.choice };
      }
    }
  } finally {
    // Nobody waits for what is left of them.
    for (const promise of pending.values()) promise.catch(() => {});
    await Promise.allSettled(iterators.map((iterator) => iterator.return?.()));
  }
}
