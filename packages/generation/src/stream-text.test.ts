import { beforeAll, describe, expect, it } from "vitest";
import type { Model } from "@transmla/models";
import { generateText, streamText, type StreamTextOptions, type TextPiece } from "./stream-text";
import { goldenModel } from "./testing/golden-model";
import { Tokenizer } from "./tokenizer/tokenizer";

/** A token for every printable ASCII character and, as 0, one for the end: the golden model's 96. */
const characters = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));
const tokenizer = Tokenizer.fromJson({
  model: {
    type: "BPE",
    vocab: Object.fromEntries(["<end>", ...characters].map((token, id) => [token, id])),
    merges: [],
  },
  added_tokens: [{ id: 0, content: "<end>", special: true }],
  decoder: { type: "Fuse" },
});

let model: Model;

beforeAll(async () => {
  model = await goldenModel();
});

const base = { prompt: "Once upon a time", maxTokens: 30, stopTokenIds: [] };

async function collect(options: Partial<StreamTextOptions> = {}) {
  const stream = streamText(model, tokenizer, { ...base, ...options });
  const pieces: TextPiece[] = [];
  for await (const piece of stream) pieces.push(piece);
  return { pieces, text: pieces.map(({ text }) => text).join(""), summary: stream.summary };
}

describe("streamText", () => {
  it("gives the text of its tokens", async () => {
    const { pieces, text, summary } = await collect({ temperature: 1, seed: 2 });
    const ids = pieces.flatMap(({ tokenId }) => tokenId ?? []);
    expect(ids).toHaveLength(30);
    expect(text).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }));
    expect(summary).toMatchObject({ finishReason: "length", promptTokens: 16, tokens: 30 });
  });

  it("takes token ids for a prompt", async () => {
    const prompt = tokenizer.encode(base.prompt);
    expect((await collect({ prompt })).text).toBe((await collect()).text);
  });

  it("stops before a stop string that spans tokens", async () => {
    const { text } = await collect({ temperature: 1, seed: 2 });
    const stop = text.slice(10, 14);
    const stopped = await collect({ temperature: 1, seed: 2, stop: ["no such text", stop] });
    expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(stopped.summary.finishReason).toBe("stop");
    expect(stopped.summary.tokens).toBeLessThan(30);
  });

  it("gives out at the end what it held back for a stop string that never came", async () => {
    const { text } = await collect();
    const { pieces, ...held } = await collect({ stop: [`${text.slice(-3)}…`] });
    expect(held.text).toBe(text);
    expect(pieces.at(-1)).toEqual({ text: text.slice(-3), tokenId: undefined });
    expect(held.summary.finishReason).toBe("length");
  });

  it("stops at the model's own end", async () => {
    const { pieces } = await collect();
    const first = pieces[0]!.tokenId!;
    const ending = await collect({ stopTokenIds: [first] });
    expect(ending.text).toBe("");
    expect(ending.summary.finishReason).toBe("stop");
  });

  it("gives the same text when it is read again", async () => {
    const stream = streamText(model, tokenizer, { ...base, temperature: 1, seed: 9 });
    const read = async () => {
      let text = "";
      for await (const piece of stream) text += piece.text;
      return text;
    };
    expect(await read()).toBe(await read());
  });

  it("refuses an empty stop string and an impossible option before it begins", () => {
    const refused = expect.objectContaining({ code: "InvalidOption" }) as Error;
    expect(() => streamText(model, tokenizer, { ...base, stop: [""] })).toThrow(refused);
    expect(() => streamText(model, tokenizer, { ...base, topP: 2 })).toThrow(refused);
  });
});

describe("generateText", () => {
  it("gives the text of the stream, its tokens and its summary", async () => {
    const { text, pieces } = await collect();
    const result = await generateText(model, tokenizer, base);
    expect(result.text).toBe(text);
    expect(result.tokenIds).toEqual(pieces.map(({ tokenId }) => tokenId));
    expect(result).toMatchObject({ finishReason: "length", tokens: 30 });
  });

  it("makes text of nothing but the token for the beginning", async () => {
    const result = await generateText(model, tokenizer, { ...base, prompt: "" });
    expect(result.promptTokens).toBe(1);
    expect(result.tokenIds).toHaveLength(30);
  });
});
