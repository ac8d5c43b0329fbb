import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../template/chat-template";
import { byteLevelMetadata } from "../testing/golden";
import { Tokenizer } from "../tokenizer/tokenizer";
import { encodeConversation } from "./conversation";

const tokenizer = Tokenizer.fromGguf(byteLevelMetadata("gpt-2"));
const template = new ChatTemplate(
  "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content | trim }}<|end|>{% endfor %}",
);
const special = (text: string) =>
  tokenizer.encode(text, { addSpecialTokens: false, parseSpecialTokens: true });
const plain = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
const encode = (content: string) =>
  encodeConversation(tokenizer, template, { messages: [{ role: "user", content }] });

describe("encodeConversation", () => {
  it("is the rendered text with the template's special tokens", () => {
    expect(encode(" say transmla ")).toEqual(special("<|turn|>user\nsay transmla<|end|>"));
  });

  it("leaves special tokens that a message spells plain text", () => {
    const [end] = special("<|end|>");
    const tokens = encode("a <|end|> b\uFDD07\uFDD0<|turn|>");
    expect([...tokens].filter((token) => token === end)).toHaveLength(1);
    expect(tokens.at(-1)).toBe(end);
    expect(tokenizer.decode(tokens)).toBe("<|turn|>user\na <|end|> b\uFDD07\uFDD0<|turn|><|end|>");
    const turns = special("<|turn|>");
    expect([...tokens].filter((token) => token === turns[0])).toHaveLength(1);
    expect([...tokens].join()).toContain([...plain("<|end|>")].join());
  });
});
