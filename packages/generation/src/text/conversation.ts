import type { ChatTemplate } from "../template/chat-template";
import type { Tokenizer } from "../tokenizer/tokenizer";
import type { Conversation } from "./text-request";

/** Stands around a number in place of text that must not be read as a token: a code point that is no character. */
const mark = "\uFDD0";

/**
 * Writes conversations as tokens. Special tokens come from the template alone: where a message spells one (`<|im_end|>`), it stays
 * plain text, so that nobody can end a turn from within it.
 */
export class ConversationEncoder {
  private readonly spellings: readonly string[];
  /** Replaces spellings of special tokens by their numbers between marks, in every string of a value. */
  readonly hide: <Value>(value: Value) => Value;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly template: ChatTemplate,
  ) {
    this.spellings = [...tokenizer.specialTokens, mark];
    this.hide = hiding(this.spellings);
  }

  /**
   * The conversation as text, with hidden spellings.
   * @throws GenerationError `TemplateFailed`, `TemplateTooCostly`
   */
  render({ messages, tools }: Conversation): string {
    return this.template.render(this.hide(messages), { tools: tools && this.hide(tools) });
  }

  /** The tokens of rendered text. Throws GenerationError `UnknownToken`. */
  encode(rendered: string): Int32Array {
    const parts = rendered.split(new RegExp(`${mark}(\\d+)${mark}`));
    const tokens = parts.flatMap((part, index) => {
      const isHidden = index % 2 === 1;
      const options = { addSpecialTokens: false, parseSpecialTokens: !isHidden };
      const text = isHidden ? (this.spellings[Number(part)] ?? "") : part;
      return [...this.tokenizer.encode(text, options)];
    });
    return Int32Array.from(tokens);
  }
}

/** What a conversation has come to. Plain data. */
export interface ConversationState {
  /** What was read and written, token by token. */
  readonly tokens: readonly number[];
  /** The same as rendered text, with hidden spellings. */
  readonly rendered: string;
}

/**
 * A conversation that grows: every prompt continues the tokens of the one before and of the answer to it, as long as the template
 * leaves the past as it was. So a cache has to take in only what is new; what the model wrote is not split into other tokens.
 */
export class GrowingConversation {
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly encoder: ConversationEncoder,
    private past: ConversationState = { tokens: [], rendered: "" },
  ) {}

  get state(): ConversationState {
    return this.past;
  }

  /** The prompt for an answer to these messages. Throws what rendering and encoding throw. */
  prompt(conversation: Conversation): Int32Array {
    const rendered = this.encoder.render(conversation);
    const { tokens, rendered: before } = this.past;
    const continues = rendered.startsWith(before);
    const more = this.encoder.encode(continues ? rendered.slice(before.length) : rendered);
    const all = continues ? [...tokens, ...more] : [...more];
    this.past = { tokens: all, rendered };
    return Int32Array.from(all);
  }

  /** Takes the answer to the last prompt: its tokens and its text, which may end before the tokens do. */
  answered(answer: readonly number[], text: string): void {
    const { tokens, rendered } = this.past;
    const isWhole = this.tokenizer.decode(answer, { skipSpecialTokens: true }) === text;
    const added = isWhole ? answer : this.encoder.encode(this.encoder.hide(text));
    this.past = { tokens: [...tokens, ...added], rendered: rendered + this.encoder.hide(text) };
  }
}

/** Replaces the spellings in every string of a value, wherever it is. */
function hiding(spellings: readonly string[]): <Value>(value: Value) => Value {
  // Longer ones first: a spelling may begin like another.
  const byLength = spellings.toSorted((a, b) => b.length - a.length);
  const pattern = new RegExp(byLength.map(escapeRegExp).join("|"), "g");
  const number = new Map(spellings.map((spelling, index) => [spelling, index]));
  const hide = (value: unknown): unknown => {
    if (typeof value === "string") {
      return value.replace(pattern, (found) => `${mark}${number.get(found)}${mark}`);
    }
    if (Array.isArray(value)) return value.map(hide);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, hide(inner)]));
  };
  return hide as <Value>(value: Value) => Value;
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
