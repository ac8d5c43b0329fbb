import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openaiHandler, type OpenAiHandler } from "./handler";
import { sampleService, type SampleService } from "./testing/sample-service";

let service: SampleService;
let handler: OpenAiHandler;

beforeAll(async () => {
  service = await sampleService();
  handler = openaiHandler(service);
});

afterAll(() => service.close());

type Json = Record<string, any>;

async function ask(
  path: string,
  body?: unknown,
  by = handler,
): Promise<{ status: number; json: Json }> {
  const post = {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json" },
  };
  const init = body === undefined ? {} : post;
  const response = await by.fetch(new Request(`http://localhost${path}`, init));
  return { status: response.status, json: (await response.json()) as Json };
}

const complete = (fields: Json = {}) =>
  ask("/v1/completions", {
    model: "sample",
    prompt: "ROMEO:",
    max_tokens: 8,
    temperature: 0,
    ...fields,
  });
const chat = (fields: Json = {}) =>
  ask("/v1/chat/completions", {
    model: "sample",
    messages: [{ role: "user", content: "Who is there?" }],
    max_tokens: 8,
    temperature: 0,
    ...fields,
  });

describe("completions", () => {
  it("continue a prompt", async () => {
    const { status, json } = await complete();
    expect(status).toBe(200);
    expect(json).toEqual({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{32}$/),
      object: "text_completion",
      created: expect.any(Number),
      model: "sample",
      choices: [{ index: 0, text: expect.any(String), logprobs: null, finish_reason: "length" }],
      usage: {
        prompt_tokens: 2,
        completion_tokens: 8,
        total_tokens: 10,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
  });

  it("number the choices of several prompts through", async () => {
    const { json } = await complete({ prompt: ["ROMEO:", "JULIET:"], n: 2, max_tokens: 3 });
    expect(json["choices"].map(({ index }: Json) => index)).toEqual([0, 1, 2, 3]);
    expect(json["usage"]).toMatchObject({ prompt_tokens: 4, completion_tokens: 12 });
    const one = await complete({ prompt: "JULIET:", max_tokens: 3 });
    expect(json["choices"][2].text).toBe(one.json["choices"][0].text);
  });

  it("take token ids", async () => {
    const { json } = await complete({ prompt: [[5, 6, 7], [8]], max_tokens: 2 });
    expect(json["usage"]).toMatchObject({ prompt_tokens: 4, completion_tokens: 4 });
  });

  it("end at a stop string, which is not part of the text", async () => {
    const whole = (await complete({ max_tokens: 24 })).json["choices"][0].text as string;
    const stop = whole.slice(9, 13);
    const { json } = await complete({ max_tokens: 24, stop });
    expect(json["choices"][0]).toMatchObject({
      text: whole.slice(0, whole.indexOf(stop)),
      finish_reason: "stop",
    });
  });

  it("tell log-probabilities with the places of their tokens", async () => {
    const { json } = await complete({ logprobs: 2 });
    const { text, logprobs } = json["choices"][0];
    expect(logprobs.tokens.join("")).toBe(text);
    expect(logprobs.text_offset.at(-1)).toBe(text.length - logprobs.tokens.at(-1).length);
    for (const [place, token] of logprobs.tokens.entries()) {
      const top = Object.entries(logprobs.top_logprobs[place] as Record<string, number>);
      // The greedy choice is the likeliest.
      expect(top[0]).toEqual([token, logprobs.token_logprobs[place]]);
      expect(Math.exp(top[0]![1])).toBeGreaterThan(0);
    }
  });
});

describe("chat completions", () => {
  it("answer as the assistant", async () => {
    const { status, json } = await chat({ logprobs: true, top_logprobs: 3 });
    expect(status).toBe(200);
    const [choice] = json["choices"];
    expect(choice).toMatchObject({
      index: 0,
      message: { role: "assistant", content: expect.any(String), refusal: null },
      finish_reason: "length",
    });
    const { content } = choice.logprobs;
    expect(content).toHaveLength(8);
    expect(content[0].top_logprobs).toHaveLength(3);
    const bytes = content.flatMap((token: Json) => token["bytes"] as number[]);
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(choice.message.content);
  });

  it("repeat themselves for a seed, every choice in its own way", async () => {
    const texts = async (seed: number) =>
      (await chat({ seed, n: 3, temperature: 1 })).json["choices"].map(
        ({ message }: Json) => message.content as string,
      ) as string[];
    const once = await texts(7);
    expect(once).toEqual(await texts(7));
    expect(new Set(once).size).toBe(3);
    expect(once).not.toEqual(await texts(8));
    expect(await texts(-7)).toEqual(await texts(-7));
  });

  it("take messages in parts and without content", async () => {
    const parts = [
      { type: "text", text: "Who is " },
      { type: "text", text: "there?" },
    ];
    const { json } = await chat({ messages: [{ role: "user", content: parts }] });
    expect(json["choices"]).toEqual((await chat()).json["choices"]);
    const calls = { role: "assistant", content: null, tool_calls: [] };
    expect((await chat({ messages: [calls] })).status).toBe(200);
  });

  it("write JSON that a schema describes, or any", async () => {
    const schema = {
      type: "object",
      properties: { name: { type: "string", maxLength: 10 }, kind: { enum: ["king", "fool"] } },
      required: ["name", "kind"],
    };
    const format = { type: "json_schema", json_schema: { name: "person", schema } };
    const { json } = await chat({ response_format: format, max_tokens: 60 });
    const [{ message, finish_reason }] = json["choices"];
    expect(JSON.parse(message.content)).toEqual({
      name: expect.any(String),
      kind: expect.stringMatching(/^(king|fool)$/),
    });
    expect(finish_reason).toBe("stop");
    const any = await chat({ response_format: { type: "json_object" }, max_tokens: 3 });
    expect(any.json["choices"][0].message.content).toMatch(/^\{/);
  });

  it("give the template the tools, unless none is to be called", async () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    expect((await chat({ tools })).status).toBe(200);
    expect((await chat({ tools, tool_choice: "none" })).status).toBe(200);
    expect((await chat({ tools, tool_choice: "required" })).status).toBe(400);
  });
});

describe("streams", () => {
  async function stream(path: string, body: Json): Promise<Json[]> {
    const request = new Request(`http://localhost${path}`, {
      method: "POST",
      body: JSON.stringify({
        model: "sample",
        max_tokens: 8,
        temperature: 0,
        stream: true,
        ...body,
      }),
      headers: { "content-type": "application/json" },
    });
    const response = await handler.fetch(request);
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const events = (await response.text()).split("\n\n").filter((event) => event !== "");
    expect(events.at(-1)).toBe("data: [DONE]");
    return events.slice(0, -1).map((event) => JSON.parse(event.slice("data: ".length)) as Json);
  }

  it("laid end to end are the whole answer, with the same log-probabilities", async () => {
    const fields = { prompt: "ROMEO:", n: 2, logprobs: 1, stream_options: { include_usage: true } };
    const chunks = await stream("/v1/completions", fields);
    const { stream_options: _, ...whole } = fields;
    const { json } = await complete(whole);
    for (const { index, text, logprobs, finish_reason } of json["choices"]) {
      const own = chunks
        .flatMap(({ choices }) => choices as Json[])
        .filter((c) => c["index"] === index);
      expect(own.map((choice) => choice["text"]).join("")).toBe(text);
      expect(own.at(-1)!["finish_reason"]).toBe(finish_reason);
      const joined = (name: string) => own.flatMap((choice) => choice["logprobs"]?.[name] ?? []);
      expect(joined("tokens")).toEqual(logprobs.tokens);
      expect(joined("text_offset")).toEqual(logprobs.text_offset);
    }
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: json["usage"] });
  });

  it("begin with the role in a chat", async () => {
    const messages = [{ role: "user", content: "Who is there?" }];
    const chunks = await stream("/v1/chat/completions", { messages });
    expect(chunks[0]!["choices"][0].delta).toEqual({ role: "assistant", content: "" });
    const text = chunks.map(({ choices }) => choices[0].delta.content ?? "").join("");
    expect(text).toBe((await chat()).json["choices"][0].message.content);
    expect(chunks.at(-1)!["choices"][0]).toMatchObject({ delta: {}, finish_reason: "length" });
  });
});

describe("other routes", () => {
  it("name the model", async () => {
    const card = {
      id: "sample",
      object: "model",
      created: expect.any(Number),
      owned_by: "transmla",
    };
    expect((await ask("/v1/models")).json).toEqual({ object: "list", data: [card] });
    expect((await ask("/v1/models/sample")).json).toEqual(card);
    expect(await ask("/v1/models/other")).toMatchObject({
      status: 404,
      json: { error: { code: "ModelNotFound" } },
    });
  });

  it("tell how it goes", async () => {
    expect(await ask("/health")).toEqual({ status: 200, json: { status: "ok" } });
    const fresh = openaiHandler(service);
    await ask("/v1/completions", { model: "sample", prompt: "a", max_tokens: 2 }, fresh);
    await ask("/nothing", undefined, fresh);
    const text = await (await fresh.fetch(new Request("http://localhost/metrics"))).text();
    for (const line of [
      'transmla_requests_total{route="/v1/completions",status="200"} 1',
      'transmla_requests_total{route="other",status="404"} 1',
      "transmla_requests_in_flight 0",
      "transmla_engine_running 0",
      "transmla_generated_tokens_total 2",
      "transmla_prompt_tokens_total 1",
      'transmla_first_token_seconds_bucket{le="+Inf"} 1',
      "transmla_first_token_seconds_count 1",
    ]) {
      expect(text.split("\n")).toContain(line);
    }
  });
});

describe("what is wrong with a request", () => {
  it.each<[string, Json, number, string]>([
    ["no model", { model: undefined }, 400, "model"],
    ["another model", { model: "gpt-4" }, 404, "model"],
    ["no prompt", { prompt: undefined }, 400, "prompt"],
    ["a prompt of nothing", { prompt: [] }, 400, "prompt"],
    ["too many prompts", { prompt: Array.from({ length: 17 }, () => "a") }, 400, "prompt"],
    ["a token that is none", { prompt: [1_000_000] }, 400, ""],
    ["a prompt beyond the context", { prompt: "a b ".repeat(2000) }, 400, ""],
    ["no choices", { n: 0 }, 400, "n"],
    ["a million choices", { n: 1_000_000 }, 400, "n"],
    ["no tokens", { max_tokens: 0 }, 400, "max_tokens"],
    ["more tokens than the context", { max_tokens: 1e9 }, 400, "max_tokens"],
    ["half a token", { max_tokens: 1.5 }, 400, "max_tokens"],
    ["a negative temperature", { temperature: -1 }, 400, "temperature"],
    ["a hot temperature", { temperature: 2.1 }, 400, "temperature"],
    ["a temperature in words", { temperature: "1" }, 400, "temperature"],
    ["a large top_p", { top_p: 1.1 }, 400, "top_p"],
    ["a large penalty", { frequency_penalty: 2.5 }, 400, "frequency_penalty"],
    ["a seed that is none", { seed: 0.5 }, 400, "seed"],
    ["an empty stop", { stop: "" }, 400, "stop"],
    ["too many stops", { stop: Array.from({ length: 17 }, () => "a") }, 400, "stop"],
    ["a bias of words", { logit_bias: { a: 1 } }, 400, "logit_bias"],
    ["too many alternatives", { logprobs: 21 }, 400, "logprobs"],
    ["a template", { chat_template: "{{ x }}" }, 400, "chat_template"],
    ["a field that is not known", { best_of: 3 }, 400, "best_of"],
    [
      "a schema that is not supported",
      { response_format: { type: "json_schema", json_schema: { schema: { pattern: "a" } } } },
      400,
      "",
    ],
    ["more cache than there is", { n: 16, max_tokens: 1000 }, 400, ""],
  ])("%s", async (_, fields, status, param) => {
    const answer = await complete(fields);
    expect(answer.status).toBe(status);
    expect(answer.json["error"]).toMatchObject({
      message: expect.any(String),
      code: expect.any(String),
    });
    if (param !== "") expect(answer.json["error"].param).toBe(param);
    expect(service.engine.load).toMatchObject({ running: 0, waiting: 0 });
  });

  it.each<[string, Json]>([
    ["no messages", { messages: [] }],
    ["a message that is none", { messages: ["hello"] }],
    ["a message without a role", { messages: [{ content: "x" }] }],
    ["a picture", { messages: [{ role: "user", content: [{ type: "image_url" }] }] }],
    ["top_logprobs without logprobs", { top_logprobs: 2 }],
    ["a format without a type", { response_format: {} }],
    ["a schema that is missing", { response_format: { type: "json_schema" } }],
  ])("in a chat: %s", async (_, fields) => {
    expect(await chat(fields)).toMatchObject({
      status: 400,
      json: { error: { type: "invalid_request_error" } },
    });
  });

  it.each([
    ["a body that is not JSON", "{", 400, "InvalidJson"],
    ["a body that is no object", "[]", 400, "InvalidJson"],
    [
      "a body that is too large",
      JSON.stringify({ prompt: "x".repeat(1 << 20) }),
      413,
      "BodyTooLarge",
    ],
  ])("%s", async (_, body, status, code) => {
    expect(await ask("/v1/completions", body)).toMatchObject({ status, json: { error: { code } } });
  });

  it("a large body is not read to its end, whatever it says about itself", async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(1 << 16).fill(32));
        sent++;
      },
    });
    const request = new Request("http://localhost/v1/completions", {
      method: "POST",
      body,
      headers: { "content-type": "application/json" },
      duplex: "half",
    } as RequestInit);
    expect((await handler.fetch(request)).status).toBe(413);
    expect(sent).toBeLessThan(25);
  });

  it("another content type, another method, another route", async () => {
    const post = (init: RequestInit) =>
      handler.fetch(new Request("http://localhost/v1/completions", init));
    expect((await post({ method: "POST", body: "{}" })).status).toBe(415);
    expect((await post({ method: "GET" })).status).toBe(405);
    expect((await ask("/v2")).status).toBe(404);
  });

  it("the valid twin of all these passes", async () => {
    expect((await complete()).status).toBe(200);
    expect((await chat()).status).toBe(200);
  });
});

describe("closed by default", () => {
  const fetchWith = async (
    by: OpenAiHandler,
    path: string,
    headers: Record<string, string> = {},
    host = "localhost",
  ) => (await by.fetch(new Request(`http://${host}${path}`, { headers }))).status;

  it("every route but health wants the key", async () => {
    const guarded = openaiHandler(service, { apiKeys: ["first-key", "second-key"] });
    for (const path of ["/v1/models", "/metrics", "/v1/completions", "/nothing"]) {
      expect(await fetchWith(guarded, path)).toBe(401);
      for (const wrong of [
        "Bearer x",
        "Bearer first-key2",
        "Basic first-key",
        "Bearer",
        "first-key",
      ]) {
        expect(await fetchWith(guarded, path, { authorization: wrong })).toBe(401);
      }
    }
    expect(await fetchWith(guarded, "/health")).toBe(200);
    for (const key of ["first-key", "second-key"]) {
      expect(await fetchWith(guarded, "/v1/models", { authorization: `Bearer ${key}` })).toBe(200);
    }
  });

  it("a foreign host is refused, health included", async () => {
    const local = openaiHandler(service, { allowedHosts: ["localhost", "127.0.0.1", "[::1]"] });
    for (const path of ["/health", "/v1/models"]) {
      expect(await fetchWith(local, path, {}, "evil.example:8080")).toBe(403);
      for (const own of ["localhost:8080", "LOCALHOST", "127.0.0.1:1", "[::1]:8080"]) {
        expect(await fetchWith(local, path, {}, own)).toBe(200);
      }
    }
  });

  it("no origin is let in", async () => {
    const request = new Request("http://localhost/v1/models", {
      headers: { origin: "https://evil.example" },
    });
    const response = await handler.fetch(request);
    expect(
      [...response.headers.keys()].filter((name) => name.startsWith("access-control")),
    ).toEqual([]);
  });
});
