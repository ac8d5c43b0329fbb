import type { ChatTemplate } from "../template/chat-template";
import type { Tokenizer } from "../tokenizer/tokenizer";
import type { Conversation } from "./text-request";

/** Stands around a number in place of text that must not be read as a token: a code point that is no character. */
const mark = "\uFDD0";

/**
 * The tokens of a rendered conversation. Special tokens come from the template alone: where a message spells one (`<|im_end|>`), it
 * stays plain text, so that nobody can end a turn from within it.
 *
 * @throws GenerationError `TemplateFailed`, `TemplateTooCostly`, `UnknownToken`
 */
export function encodeConversation(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  { messages, tools }: Conversation,
): Int32Array {
  const spellings = [...tokenizer.specialTokens, mark];
  const hide = hiding(spellings);
  const text = template.render(hide(messages), { tools: tools && hide(tools) });
  const parts = text.split(new RegExp(`${mark}(\\d+)${mark}`));
  const tokens = parts.flatMap((part, index) => {
    const isHidden = index % 2 === 1;
    const options = { addSpecialTokens: false, parseSpecialTokens: !isHidden };
    return [...tokenizer.encode(isHidden ? (spellings[Number(part)] ?? "") : part, options)];
  });
  return Int32Array.from(tokens);
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
