import type {
  ChatMessage,
  GrowingConversation,
  SamplingOptions,
  TextEnd,
} from "@transmla/generation";
import type { TextModel } from "../text-model";
import type { KeptChat } from "./chat-store";

export interface AnswerOptions extends SamplingOptions {
  readonly maxTokens: number;
  readonly stop: readonly string[];
}

/** What an answer took. */
export interface Turn {
  readonly promptTokens: number;
  /** Prompt tokens that the cache held already. */
  readonly cachedTokens: number;
  readonly tokens: number;
  /** `interrupted`: stopped by the user. */
  readonly finishReason: TextEnd["finishReason"] | "interrupted";
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
}

/** A conversation with a model. */
export class ChatSession {
  private messages: readonly ChatMessage[];
  private conversation: GrowingConversation;

  /** Goes on from what was kept. Throws GenerationError `MissingTemplate`. */
  constructor(
    private readonly loaded: TextModel,
    private readonly system: string | undefined,
    kept: KeptChat | undefined,
  ) {
    this.messages = kept?.messages ?? this.beginning;
    this.conversation = loaded.text.conversation(kept?.state);
  }

  get kept(): KeptChat {
    return { messages: this.messages, state: this.conversation.state };
  }

  /** Messages, without the system's. */
  get length(): number {
    return this.messages.filter(({ role }) => role !== "system").length;
  }

  /** Forgets everything that was said. */
  clear(): void {
    this.messages = this.beginning;
    this.conversation = this.loaded.text.conversation();
  }

  /**
   * Says something and yields the answer as it comes; returns what it took. An answer that is interrupted stays as far as it came.
   * What throws leaves the conversation as it was.
   */
  async *say(
    content: string,
    options: AnswerOptions,
    signal: AbortSignal,
  ): AsyncGenerator<string, Turn, undefined> {
    const before = this.kept;
    const asked = [...this.messages, { role: "user", content }];
    const tokens: number[] = [];
    let answer = "";
    let end: TextEnd | undefined;
    try {
      const prompt = this.conversation.prompt({ messages: asked });
      // The tokens behind the text are told with their log-probabilities.
      const run = this.loaded.text.submit({ ...options, prompt, logprobs: 0 }, signal);
      try {
        for await (const event of run) {
          if (event.type === "end") end = event;
          else {
            answer += event.text;
            tokens.push(...event.tokens.map(({ id }) => id));
            yield event.text;
          }
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      }
      this.conversation.answered(tokens, answer);
      this.messages = [...asked, { role: "assistant", content: answer }];
      return {
        promptTokens: run.promptTokens,
        cachedTokens: end?.cachedTokens ?? 0,
        tokens: end?.tokens ?? tokens.length,
        finishReason: end?.finishReason ?? "interrupted",
        prefillSeconds: end?.timings.prefill ?? 0,
        decodeSeconds: end?.timings.decode ?? 0,
      };
    } catch (error) {
      this.messages = before.messages;
      this.conversation = this.loaded.text.conversation(before.state);
      throw error;
    }
  }

  private get beginning(): readonly ChatMessage[] {
    return this.system === undefined ? [] : [{ role: "system", content: this.system }];
  }
}
