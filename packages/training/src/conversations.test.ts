import { loadTokenizer, type Tokenizer } from "@transmla/generation";
import { modelFolderPath } from "@transmla/sample-model";
import { bytesSource, folder } from "@transmla/tensor-io";
import { beforeAll, describe, expect, test } from "vitest";
import { conversationDocuments } from "./conversations";
import type { ConversationTokenizer } from "./conversations";

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await loadTokenizer({ folder: folder(modelFolderPath()) });
});

const source = (...lines: string[]) =>
  bytesSource(new TextEncoder().encode(lines.join("\n")), "data.jsonl");

/** The text that is learnt and the text that is not, `|` between stretches. */
async function marked(line: object, options: { endToken?: number; context?: number } = {}) {
  const documents = await conversationDocuments(source(JSON.stringify(line)), tokenizer, {
    context: 500,
    ...options,
  });
  const { tokens, weights } = await documents.read(0);
  expect(weights).toHaveLength(tokens.length);
  let text = "";
  for (const [i, token] of tokens.entries()) {
    if (i > 0 && weights![i] !== weights![i - 1]) text += "|";
    text += tokenizer.decode([token]);
  }
  return text;
}

describe("conversations", () => {
  test("prompt and completion: loss on the completion and its end", async () => {
    const line = { prompt: "3 + 4 =", completion: " 7." };
    expect(await marked(line, { endToken: 0 })).toBe("3 + 4 =| 7.<|endoftext|>");
  });

  test("reasoning comes before the answer, and is learnt", async () => {
    const line = { prompt: "3 + 4 =", reasoning: "4 after 3.", completion: "7" };
    expect(await marked(line)).toBe("3 + 4 =|<think>\n4 after 3.\n</think>\n\n7");
  });

  test("messages: loss on what the assistant says only", async () => {
    const messages = [
      { role: "user", content: "Who goes?" },
      { role: "assistant", content: "A friend.", reasoning_content: "Night." },
      { role: "user", content: "Pass." },
      { role: "assistant", content: "Aye." },
    ];
    expect(await marked({ messages })).toBe(
      "user: Who goes?\nassistant: |<think>\nNight.\n</think>\n\nA friend.\n|user: Pass.\nassistant: |Aye.\n",
    );
  });

  test("a vocabulary with the tokens of ChatML is written in it", async () => {
    const chat: ConversationTokenizer = {
      encode: (text, options) => {
        if (options?.parseSpecialTokens)
          return Int32Array.from(text === "<|im_end|>\n" ? [2] : [1]);
        return Int32Array.from(text, () => 9);
      },
      tokenToId: (token) => (token === "<|im_start|>" ? 1 : undefined),
    };
    const messages = [
      { role: "user", content: "ab" },
      { role: "assistant", content: "c" },
    ];
    const lines = source(JSON.stringify({ messages }));
    const documents = await conversationDocuments(lines, chat, { context: 9 });
    const { tokens, weights } = await documents.read(0);
    expect([...tokens]).toEqual([1, 9, 9, 2, 1, 9, 2]);
    expect([...weights!]).toEqual([0, 0, 0, 0, 0, 1, 1]);
  });

  test("text is learnt whole; what is too long is cut at its end", async () => {
    const text = "Friends, Romans, countrymen, lend me your ears";
    expect(await marked({ text })).toBe(text);
    const documents = await conversationDocuments(source(JSON.stringify({ text })), tokenizer, {
      context: 4,
    });
    const { tokens } = await documents.read(0);
    expect([...tokens]).toEqual([...tokenizer.encode(text).subarray(0, 5)]);
  });

  test("lines are found again by their places, empty ones passed over", async () => {
    const lines = ['{"text": "one two"}', "", "   ", '{"text": "é and three"}', ""];
    const documents = await conversationDocuments(source(...lines), tokenizer, { context: 50 });
    expect(documents.count).toBe(2);
    const { tokens } = await documents.read(1);
    expect(tokenizer.decode(tokens)).toBe("é and three");
  });

  for (const [name, line] of [
    ["no object", "[]"],
    ["nothing known", '{"question": "a"}'],
    ["nothing to learn", '{"messages": [{"role": "user", "content": "a"}]}'],
    ["an empty answer", '{"prompt": "a", "completion": ""}'],
    ["a number for a text", '{"prompt": "a", "completion": 3}'],
    ["a number for reasoning", '{"prompt": "a", "completion": "b", "reasoning": 1}'],
  ] as const) {
    test(`refuses ${name}, naming the line`, async () => {
      const lines = source('{"text": "good"}', line);
      await expect(conversationDocuments(lines, tokenizer, { context: 9 })).rejects.toMatchObject({
        code: "InvalidData",
        context: { line: 2 },
      });
    });
  }

  test("refuses a file without lines", async () => {
    await expect(
      conversationDocuments(source("", " "), tokenizer, { context: 9 }),
    ).rejects.toMatchObject({ code: "TooLittleText" });
  });
});
