import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cpuDevice, type Device } from "@transmla/kernels";
import { loadModel, openModel, type Model } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { Engine } from "../engine/engine";
import { generateText } from "../stream-text";
import { ChatTemplate } from "../template/chat-template";
import { loadTokenizer } from "../tokenizer/load-tokenizer";
import type { Tokenizer } from "../tokenizer/tokenizer";
import { TextEngine } from "./text-engine";
import type { TextEvent, TextRequest } from "./text-request";

let device: Device;
let model: Model;
let tokenizer: Tokenizer;
let engine: Engine;
let text: TextEngine;

beforeAll(async () => {
  const files = await openModel(folder(modelFolderPath()));
  device = await cpuDevice({ threads: 1 });
  model = await loadModel(files, device);
  tokenizer = await loadTokenizer(files.origin);
  await files.close();
  engine = new Engine(model, { cache: { capacity: 4096 } });
  text = new TextEngine(engine, tokenizer, model.config, ChatTemplate.fromConfig(tokenizer.config));
});

afterAll(async () => {
  await engine.close();
  device.destroy();
});

async function ask(request: Partial<TextRequest> = {}, of = text) {
  const n = request.n ?? 1;
  const run = of.submit({ prompt: "ROMEO:", maxTokens: 16, ...request });
  const events: TextEvent[] = [];
  for await (const event of run) events.push(event);
  const choices = Array.from({ length: n }, (_, choice) => {
    const own = events.filter((event) => event.choice === choice);
    const pieces = own.filter((event) => event.type === "text");
    return {
      text: pieces.map((piece) => piece.text).join(""),
      tokens: pieces.flatMap((piece) => piece.tokens),
      ends: own.filter((event) => event.type === "end"),
    };
  });
  return { choices, promptTokens: run.promptTokens };
}

const isIdle = () => engine.load.running + engine.load.waiting === 0;

describe("TextEngine", () => {
  it("writes what a single sequence writes", async () => {
    const alone = await generateText(model, tokenizer, { prompt: "ROMEO:", maxTokens: 16 });
    const { choices, promptTokens } = await ask();
    expect(choices[0]!.text).toBe(alone.text);
    expect(promptTokens).toBe(alone.promptTokens);
    expect(choices[0]!.ends).toEqual([
      expect.objectContaining({ type: "end", finishReason: "length", tokens: 16 }),
    ]);
  });

  it("takes text, token ids and conversations for a prompt", async () => {
    const ids = [...tokenizer.encode("USER:\nWho?\n\nASSISTANT:\n")];
    const messages = [{ role: "user", content: "Who?" }];
    const texts = [];
    for (const prompt of [ids, Int32Array.from(ids), { messages }]) {
      texts.push((await ask({ prompt })).choices[0]!.text);
    }
    expect(new Set(texts).size).toBe(1);
  });

  it("ends each choice at its own stop string and gives back its place", async () => {
    const sampled = { n: 4, temperature: 1, seed: 3, maxTokens: 60 };
    const free = await ask(sampled);
    const { choices } = await ask({ ...sampled, stop: ["e "] });
    for (const [index, { text: stopped, ends }] of choices.entries()) {
      const whole = free.choices[index]!.text;
      const found = whole.includes("e ");
      expect(stopped).toBe(found ? whole.slice(0, whole.indexOf("e ")) : whole);
      expect(ends).toHaveLength(1);
      expect(ends[0]).toMatchObject({ finishReason: found ? "stop" : "length" });
    }
    expect(choices.some(({ ends }) => ends[0]!.finishReason === "stop")).toBe(true);
  });

  it("tells the tokens behind its text with their probabilities", async () => {
    const { choices } = await ask({ logprobs: 3 });
    const { tokens, text: whole } = choices[0]!;
    expect(tokens.map((token) => token.text).join("")).toBe(whole);
    for (const { id, logprob, top, bytes } of tokens) {
      expect(top).toHaveLength(3);
      expect(top[0]).toMatchObject({ id, logprob });
      expect(Buffer.from(bytes).toString()).toBe(tokenizer.decode([id]));
    }
    expect((await ask()).choices[0]!.tokens).toEqual([]);
  });

  it("writes JSON by a schema, every choice its own", async () => {
    const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };
    const format = { type: "schema", schema } as const;
    const { choices } = await ask({ format, n: 3, temperature: 1.2, seed: 2, maxTokens: 40 });
    for (const { text: json, ends } of choices) {
      expect(JSON.parse(json)).toEqual({ a: expect.any(Number) });
      expect(ends[0]!.finishReason).toBe("stop");
    }
    expect(new Set(choices.map((choice) => choice.text)).size).toBeGreaterThan(1);
  });

  it("ends with its reader and with its signal", async () => {
    const long = { prompt: "ROMEO:", maxTokens: 900 } as const;
    for await (const _ of text.submit(long)) break;
    await expect.poll(isIdle, { timeout: 1000 }).toBe(true);
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of text.submit(long, controller.signal))
        controller.abort(new Error("enough"));
    })();
    await expect(reading).rejects.toThrow("enough");
    await expect.poll(isIdle, { timeout: 1000 }).toBe(true);
  });

  it("refuses a megabyte without a space at once, and takes what just fits", async () => {
    const messages = [{ role: "user", content: "a".repeat(1 << 20) }];
    for (const prompt of ["a".repeat(1 << 20), { messages }]) {
      const before = process.cpuUsage();
      expect(() => text.submit({ prompt })).toThrow(
        expect.objectContaining({ code: "PromptTooLong" }) as Error,
      );
      expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000);
    }
    const most = model.config.maxPositions - 1;
    const words = " the".repeat(most);
    expect(words.length).toBe(4 * most);
    const { promptTokens, choices } = await ask({ prompt: words, maxTokens: 4 });
    expect([promptTokens, choices[0]!.ends[0]]).toEqual([
      most,
      expect.objectContaining({ tokens: 1, finishReason: "length" }),
    ]);
  });

  it("refuses what is wrong before anything is computed", () => {
    const plain = new TextEngine(engine, tokenizer, model.config);
    const messages = [{ role: "user", content: "x" }];
    const refusals: readonly (readonly [() => unknown, string])[] = [
      [() => plain.submit({ prompt: { messages } }), "MissingTemplate"],
      [() => plain.conversation(), "MissingTemplate"],
      [() => text.submit({ prompt: "a", stop: [""] }), "InvalidOption"],
      [() => text.submit({ prompt: "a", temperature: -1 }), "InvalidOption"],
      [() => text.submit({ prompt: "a b ".repeat(1000) }), "PromptTooLong"],
      [
        () => text.submit({ prompt: "a", format: { type: "schema", schema: { not: {} } } }),
        "UnsupportedSchema",
      ],
    ];
    for (const [attempt, code] of refusals) {
      expect(attempt).toThrow(expect.objectContaining({ code }) as Error);
    }
    expect(isIdle()).toBe(true);
  });
});
