import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  endlessService,
  metric,
  runningServer,
  sampleWorker,
  until,
  workerModule,
} from "../testing/running-server";
import { workerService } from "./worker-service";

/** The matrix of what a server must withstand: every line is one test. */

const post = (url: string, body: object, init: RequestInit = {}) =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
    ...init,
  });
const endless = { model: "endless", prompt: "x", max_tokens: 1_000_000 };
const short = { model: "sample", prompt: "ROMEO:", max_tokens: 4 };

/** A connection that says what it is told and nothing more. */
async function raw(port: number): Promise<Socket & { received: string; isClosed: boolean }> {
  const socket = Object.assign(connect(port, "127.0.0.1"), { received: "", isClosed: false });
  onTestFinished(() => void socket.destroy());
  socket.on("data", (data) => (socket.received += data.toString("latin1")));
  socket.on("error", () => {});
  socket.on("close", () => (socket.isClosed = true));
  await new Promise<void>((resolve) => void socket.once("connect", () => resolve()));
  return socket;
}

describe("a reader who leaves", () => {
  it("frees the place of a stream within a second", async () => {
    const service = endlessService();
    const { url, handler } = await runningServer(service);
    const controller = new AbortController();
    const response = await post(url, { ...endless, stream: true }, { signal: controller.signal });
    await response.body!.getReader().read();
    expect([service.open, handler.inFlight]).toEqual([1, 1]);
    controller.abort();
    await until(() => service.open === 0 && handler.inFlight === 0, 1000);
  });

  it("frees the place of a whole answer within a second", async () => {
    const service = endlessService();
    const { url, handler } = await runningServer(service);
    const controller = new AbortController();
    const answer = post(url, endless, { signal: controller.signal }).catch(() => "left");
    await until(() => service.open === 1, 1000);
    controller.abort();
    expect(await answer).toBe("left");
    await until(() => service.open === 0 && handler.inFlight === 0, 1000);
  });
});

describe("a slow reader", () => {
  const stream = JSON.stringify({ ...endless, stream: true });
  const request = [
    "POST /v1/completions HTTP/1.1",
    "Host: localhost",
    "Content-Type: application/json",
    `Content-Length: ${stream.length}`,
    "",
    stream,
  ].join("\r\n");

  it("has a bounded buffer and is then dropped", async () => {
    const service = endlessService();
    const { port, handler } = await runningServer(service);
    const socket = await raw(port);
    socket.pause();
    const before = process.memoryUsage().rss;
    socket.write(request);
    await until(() => service.open === 1, 1000);
    await until(() => service.open === 0 && handler.inFlight === 0, 20_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
    socket.resume();
    await until(() => socket.isClosed, 2000);
    expect(socket.received).not.toContain("[DONE]");
  });

  it("is dropped when it takes nothing for too long", async () => {
    const service = endlessService();
    const limits = { unreadBytes: 1 << 30, stalledMilliseconds: 200 };
    const { port, handler } = await runningServer(service, { limits });
    const socket = await raw(port);
    socket.pause();
    socket.write(request);
    await until(() => service.open === 1, 1000);
    await until(() => service.open === 0 && handler.inFlight === 0, 5000);
  });

  it("gets everything if it only is not quite as fast", async () => {
    const { url } = await runningServer(endlessService());
    const response = await post(url, { ...endless, max_tokens: 400, stream: true });
    let text = "";
    for await (const chunk of response.body!) {
      await new Promise((resolve) => void setTimeout(resolve, 1));
      text += Buffer.from(chunk).toString();
    }
    expect(text).toContain("[DONE]");
  });
});

describe("slow and large requests", () => {
  it("headers that do not come end the connection (408)", async () => {
    const { port } = await runningServer(endlessService(), {
      connections: { headersMilliseconds: 300, requestMilliseconds: 600 },
    });
    const socket = await raw(port);
    socket.write("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    await until(() => socket.isClosed, 3000);
    expect(socket.received).toMatch(/^HTTP\/1.1 408 /);
  });

  it("a body that does not come ends the connection", async () => {
    const { port, handler } = await runningServer(endlessService(), {
      connections: { headersMilliseconds: 300, requestMilliseconds: 600 },
    });
    const socket = await raw(port);
    socket.write(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    await until(() => socket.isClosed, 3000);
    await until(() => handler.inFlight === 0, 1000);
  });

  it("headers over the limit are 431", async () => {
    const { port } = await runningServer(endlessService());
    const socket = await raw(port);
    socket.write(
      `GET /health HTTP/1.1\r\nHost: localhost\r\nX-Large: ${"x".repeat(40_000)}\r\n\r\n`,
    );
    await until(() => socket.isClosed, 3000);
    expect(socket.received).toMatch(/^HTTP\/1.1 431 /);
  });

  it("a body over the limit is 413, announced or not", async () => {
    const { url } = await runningServer(endlessService(), { limits: { bodyBytes: 1000 } });
    expect((await post(url, { ...endless, prompt: "x".repeat(2000) })).status).toBe(413);
    const chunks = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(500).fill(32)),
    });
    const streamed = await fetch(`${url}/v1/completions`, {
      method: "POST",
      body: chunks,
      headers: { "content-type": "application/json" },
      duplex: "half",
    } as RequestInit).catch((error: unknown) => error);
    // The server closes without reading on, so that the client may see either.
    expect(streamed instanceof Response ? streamed.status : 413).toBe(413);
  });

  it("more connections than allowed are closed", async () => {
    const { port } = await runningServer(endlessService(), { connections: { connections: 2 } });
    const sockets = await Promise.all([raw(port), raw(port), raw(port)]);
    await until(() => sockets.some(({ isClosed }) => isClosed), 1000);
    expect(sockets.filter(({ isClosed }) => isClosed)).toHaveLength(1);
  });
});

describe("a foreign host or key, over HTTP", () => {
  it("is 403 and 401", async () => {
    const { port } = await runningServer(endlessService(), {
      allowedHosts: ["127.0.0.1"],
      apiKeys: ["key"],
    });
    const answer = async (lines: readonly string[]) => {
      const socket = await raw(port);
      socket.write([...lines, "Connection: close", "", ""].join("\r\n"));
      await until(() => socket.isClosed, 3000);
      return socket.received.slice(9, 12);
    };
    const get = "GET /v1/models HTTP/1.1";
    expect(await answer([get, "Host: evil.example", "Authorization: Bearer key"])).toBe("403");
    expect(await answer([get, "Host: 127.0.0.1"])).toBe("401");
    expect(await answer([get, "Host: 127.0.0.1", "Authorization: Bearer kez"])).toBe("401");
    expect(await answer([get, "Host: 127.0.0.1", "Authorization: Bearer key"])).toBe("200");
    expect(await answer([get, "Host: a b", "Authorization: Bearer key"])).toBe("400");
  });
});

describe("more than it can do", () => {
  it("is 429 with Retry-After when the engine's queue is full, and all others are answered", async () => {
    const service = await sampleWorker({ capacity: 256, maxWaiting: 2 });
    const { url } = await runningServer(service);
    const heavy = { ...short, max_tokens: 200 };
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(url, heavy)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(4);
    for (const { headers } of refused)
      expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
    expect(answers.filter(({ status }) => status === 200).length).toBe(8 - refused.length);
    expect((await post(url, short)).status).toBe(200);
    await Promise.all(answers.map((answer) => answer.arrayBuffer()));
  });

  it("is 429 when too many requests are open, whatever the engine says", async () => {
    const service = endlessService();
    const { url } = await runningServer(service, { limits: { requests: 2 } });
    const controller = new AbortController();
    const { signal } = controller;
    const open = [1, 2].map(() => post(url, endless, { signal }).catch(() => {}));
    await until(() => service.open === 2, 1000);
    const third = await post(url, endless);
    expect([third.status, third.headers.get("retry-after")]).toEqual([429, "1"]);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    controller.abort();
    await Promise.all(open);
  });
});

describe("a template that is a bomb", () => {
  it("is stopped while /health stays fast, and the text of others goes on", async () => {
    const bomb =
      "{% for a in range(10000) %}{% for b in range(10000) %}{{ a }}{% endfor %}{% endfor %}";
    const service = await sampleWorker({ template: bomb });
    const { url } = await runningServer(service);
    const chat = () =>
      fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        body: JSON.stringify({ model: "sample", messages: [{ role: "user", content: "x" }] }),
        headers: { "content-type": "application/json" },
      });
    const times: number[] = [];
    const done = new AbortController();
    const healthTime = async () => {
      const begun = performance.now();
      expect((await fetch(`${url}/health`)).status).toBe(200);
      return performance.now() - begun;
    };
    // What the machine takes anyway.
    let usual = 0;
    for (let count = 0; count < 20; count++) usual = Math.max(usual, await healthTime());
    const watch = (async () => {
      while (!done.signal.aborted) times.push(await healthTime());
    })();
    const [first, second, other] = await Promise.all([chat(), chat(), post(url, short)]);
    done.abort();
    await watch;
    for (const answer of [first, second]) {
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({ error: { code: "TemplateTooCostly" } });
    }
    expect(other.status).toBe(200);
    expect(times.length).toBeGreaterThan(10);
    // A busy machine may hold up a single one; a blocked thread would hold up all but a few.
    const slow = times.toSorted((a, b) => a - b)[Math.floor(0.9 * times.length)]!;
    expect(slow).toBeLessThan(250 + usual);
  });
});

describe("stopping", () => {
  it("finishes what is open, refuses what is new, and closes", async () => {
    const service = await sampleWorker();
    const { url, close } = await runningServer(service);
    const answer = post(url, { ...short, max_tokens: 200, stream: true });
    await until(async () => (await metric(url, "requests_in_flight")) === 1, 5000);
    const closed = close(20_000);
    const late = await post(url, short);
    expect([late.status, late.headers.get("retry-after")]).toEqual([503, "1"]);
    expect((await fetch(`${url}/health`)).status).toBe(503);
    expect(await (await answer).text()).toContain("[DONE]");
    expect(await closed).toBe(0);
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  it("cuts off what takes longer than its patience", async () => {
    const service = endlessService();
    const { url, close } = await runningServer(service);
    const answer = await post(url, { ...endless, stream: true });
    const reading = answer.text().catch(() => "cut");
    expect(await close(300)).toBe(1);
    expect(await reading).toBe("cut");
    await until(() => service.open === 0, 1000);
  });
});

describe("the worker", () => {
  it("hands on why it cannot start", async () => {
    await expect(workerService(workerModule, { data: { fail: true } })).rejects.toMatchObject({
      code: "ModelNotFound",
      message: "no such model",
    });
  });

  it("is stopped while it starts", async () => {
    const controller = new AbortController();
    const started = workerService(workerModule, { data: {}, signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(started).rejects.toThrow("enough");
  });

  it("fails what is open when it dies, and says so", async () => {
    const failures: unknown[] = [];
    const service = await workerService(workerModule, {
      data: { crashAfter: 600 },
      onFailure: (error) => failures.push(error),
    });
    const { url } = await runningServer(service);
    const heavy = { ...short, max_tokens: 1000, n: 8 };
    const [whole, stream] = await Promise.all([
      post(url, heavy),
      post(url, { ...heavy, stream: true }),
    ]);
    expect(whole.status).toBe(503);
    expect(await stream.text()).toContain("ServiceDown");
    expect((await fetch(`${url}/health`)).status).toBe(503);
    expect((await post(url, short)).status).toBe(503);
    expect(await metric(url, "engine_up")).toBe(0);
    expect(failures).toHaveLength(1);
  });
});
