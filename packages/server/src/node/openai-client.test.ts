import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openaiHandler } from "../handler";
import { metric, until, workerModule } from "../testing/running-server";
import { listen, type Listening } from "./listen";
import { workerService, type WorkerService } from "./worker-service";

const apiKey = "sk-test";
let service: WorkerService;
let server: Listening;
let client: OpenAI;

beforeAll(async () => {
  service = await workerService(workerModule, { data: {} });
  server = await listen(openaiHandler(service, { apiKeys: [apiKey] }));
  client = new OpenAI({ apiKey, baseURL: `${server.url}/v1`, maxRetries: 0 });
});

afterAll(async () => {
  await server.close(0);
  await service.close();
});

const inFlight = () => metric(server.url, "requests_in_flight", apiKey);
const messages = [{ role: "user", content: "Who goes there?" }] as const;
const ask = { model: "sample", messages: [...messages], max_tokens: 16, temperature: 0 };

describe("the official client", () => {
  it("lists the models", async () => {
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    expect(models).toEqual(["sample"]);
    expect((await client.models.retrieve("sample")).id).toBe("sample");
  });

  it("completes", async () => {
    const request = { model: "sample", prompt: "ROMEO:", max_tokens: 12, temperature: 0 };
    const { choices, usage } = await client.completions.create(request);
    expect(choices[0]!.text).not.toBe("");
    expect(usage).toMatchObject({ completion_tokens: 12, total_tokens: 14 });
    let text = "";
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      text += chunk.choices[0]!.text;
    }
    expect(text).toBe(choices[0]!.text);
  });

  it("chats, streamed or not, with the same text", async () => {
    const whole = await client.chat.completions.create(ask);
    expect(whole.choices[0]).toMatchObject({ finish_reason: "length" });
    const chunks = [];
    const stream = await client.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) chunks.push(chunk);
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(chunks.length).toBeGreaterThan(10);
    expect(chunks.at(-1)!.usage).toMatchObject({ completion_tokens: 16 });
  });

  it("finds the prompt of a request before in the cache", async () => {
    const long = [{ role: "user" as const, content: "Speak, what noise is this? ".repeat(12) }];
    const first = await client.chat.completions.create({ ...ask, messages: long });
    const again = await client.chat.completions.create({ ...ask, messages: long });
    // What every conversation begins with may be there already.
    expect(first.usage!.prompt_tokens_details!.cached_tokens).toBeLessThan(8);
    expect(again.usage!.prompt_tokens_details!.cached_tokens).toBeGreaterThan(32);
    expect(again.choices[0]!.message).toEqual(first.choices[0]!.message);
  });

  it("gets three choices, each with log-probabilities", async () => {
    const { choices } = await client.chat.completions.create({
      ...ask,
      n: 3,
      temperature: 1,
      seed: 5,
      logprobs: true,
      top_logprobs: 2,
    });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(choices.map(({ message }) => message.content)).size).toBe(3);
    for (const { logprobs, message } of choices) {
      const tokens = logprobs!.content!.map(({ token }) => token);
      expect(tokens.join("")).toBe(message.content);
      expect(logprobs!.content![0]!.top_logprobs).toHaveLength(2);
    }
  });

  it("parses an answer that a schema describes", async () => {
    const schema = {
      type: "object",
      properties: {
        speaker: { type: "string", maxLength: 12 },
        lines: { type: "integer", minimum: 1, maximum: 9 },
      },
      required: ["speaker", "lines"],
      additionalProperties: false,
    };
    const { choices } = await client.chat.completions.parse({
      ...ask,
      max_tokens: 80,
      response_format: {
        type: "json_schema",
        json_schema: { name: "speech", schema, strict: true },
      },
    });
    expect(choices[0]!.message.parsed).toEqual({
      speaker: expect.any(String),
      lines: expect.any(Number),
    });
  });

  it("leaves in mid-stream, which frees its place within a second", async () => {
    const stream = await client.chat.completions.create({ ...ask, max_tokens: 900, stream: true });
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 5) break;
    expect(await until(async () => (await inFlight()) === 0, 1000)).toBeLessThan(1000);
    const engineIsIdle = async () => (await metric(server.url, "engine_running", apiKey)) === 0;
    expect(await until(engineIsIdle, 1000)).toBeLessThan(1000);
  });

  it("leaves while it waits for a whole answer", async () => {
    const controller = new AbortController();
    const answer = client.chat.completions.create(
      { ...ask, max_tokens: 900, n: 4 },
      { signal: controller.signal },
    );
    await until(async () => (await inFlight()) === 1, 5000);
    controller.abort();
    await expect(answer).rejects.toThrow(/abort/i);
    expect(await until(async () => (await inFlight()) === 0, 1000)).toBeLessThan(1000);
  });

  it("is told its mistakes as it knows them", async () => {
    const wrong = client.chat.completions.create({ ...ask, temperature: 9 });
    await expect(wrong).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(wrong).rejects.toMatchObject({ param: "temperature" });
    const other = client.chat.completions.create({ ...ask, model: "gpt" });
    await expect(other).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const stranger = new OpenAI({ apiKey: "x", baseURL: `${server.url}/v1`, maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  });

  it("gets the same greedy text alone and among others", async () => {
    const prompts = ["ROMEO:", "JULIET:", "First Citizen:\nWe", "KING HENRY:\nNow", "O, "];
    const one = async (prompt: string) =>
      (await client.completions.create({ model: "sample", prompt, max_tokens: 24, temperature: 0 }))
        .choices[0]!.text;
    const alone = [];
    for (const prompt of prompts) alone.push(await one(prompt));
    expect(await Promise.all(prompts.map(one))).toEqual(alone);
  });
});
