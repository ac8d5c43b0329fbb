import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../template/chat-template";
import { byteLevelMetadata } from "../testing/golden";
import { Tokenizer } from "../tokenizer/tokenizer";
import { ConversationEncoder, GrowingConversation } from "./conversation";

const tokenizer = Tokenizer.fromGguf(byteLevelMetadata("gpt-2"));
const template = new ChatTemplate(
  "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content | trim }}<|end|>{% endfor %}",
);
const special = (text: string) =>
  tokenizer.encode(text, { addSpecialTokens: false, parseSpecialTokens: true });
const plain = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
const encoder = new ConversationEncoder(tokenizer, template);
const encode = (content: string) =>
  encoder.encode(encoder.render({ messages: [{ role: "user", content }] }));

describe("ConversationEncoder", () => {
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

describe("GrowingConversation", () => {
  const user = (content: string) => ({ role: "user", content });
  const assistant = (content: string) => ({ role: "assistant", content });
  const open = new ChatTemplate(
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}",
  );
  const growing = (state?: GrowingConversation["state"]) =>
    new GrowingConversation(tokenizer, new ConversationEncoder(tokenizer, open), state);

  it("continues the tokens of what was written, however it was split", () => {
    const talk = growing();
    const first = talk.prompt({ messages: [user("Hi")] });
    // Written letter by letter, as encoding the text would not split it.
    const answer = [..."there <|end|>!"].flatMap((letter) => [...plain(letter)]);
    talk.answered(answer, "there <|end|>!");
    const messages = [user("Hi"), assistant("there <|end|>!"), user("And?")];
    const second = talk.prompt({ messages });
    expect([...second.subarray(0, first.length)]).toEqual([...first]);
    expect([...second.subarray(first.length, first.length + answer.length)]).toEqual(answer);
    const rest = special("<|end|><|turn|>user\nAnd?<|end|><|turn|>assistant\n");
    expect([...second.subarray(first.length + answer.length)]).toEqual([...rest]);
    expect([...growing(JSON.parse(JSON.stringify(talk.state))).prompt({ messages })]).toEqual([
      ...second,
    ]);
  });

  it("keeps of an answer what its text is, where tokens went beyond it", () => {
    const talk = growing();
    const first = talk.prompt({ messages: [user("Hi")] });
    talk.answered([...plain("yes.\n\nUSER")], "yes.");
    expect(talk.state.tokens).toEqual([...first, ...plain("yes.")]);
  });

  it("begins anew where the template or the messages changed the past", () => {
    const talk = growing();
    talk.prompt({ messages: [user("Hi")] });
    talk.answered([...plain("yes")], "yes");
    const messages = [user("Hello"), assistant("yes"), user("And?")];
    expect([...talk.prompt({ messages })]).toEqual([
      ...special(
        "<|turn|>user\nHello<|end|><|turn|>assistant\nyes<|end|><|turn|>user\nAnd?<|end|><|turn|>assistant\n",
      ),
    ]);
  });
});
