import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { openSafetensors } from "./safetensors/read";
import { urlSource } from "./source-url";
import { expectCode, goldenBytes } from "./test-support";

const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A real server; gives the address of its file. */
async function serve(handler: Handler): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.safetensors?token=secret`;
}

/** Answers ranges as a file server does. */
function ranges(bytes: Uint8Array, etag = '"1"'): Handler {
  return (request, response) => {
    const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const stale = request.headers["if-range"] !== undefined && request.headers["if-range"] !== etag;
    if (match === null || stale) {
      response.writeHead(200, { etag }).end(bytes);
    } else if (Number(match[1]) >= bytes.length) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    } else {
      const [begin, end] = [Number(match[1]), Math.min(Number(match[2]), bytes.length - 1)];
      const range = `bytes ${begin}-${end}/${bytes.length}`;
      response.writeHead(206, { etag, "content-range": range }).end(bytes.subarray(begin, end + 1));
    }
  };
}

test("reads ranges; the name has no query", async () => {
  const asked: (string | undefined)[] = [];
  const answer = ranges(content);
  const url = await serve((request, response) => {
    asked.push(request.headers.range);
    expect(request.headers["x-key"]).toBe("k");
    answer(request, response);
  });
  const source = await urlSource(url, { headers: { "x-key": "k" } });
  expect(source.size).toBe(1000);
  expect(source.name).toMatch(/\/model\.safetensors$/);
  expect(await source.read(990, 10)).toEqual(content.subarray(990));
  expect(await source.read(5, 0)).toEqual(new Uint8Array(0));
  expect(asked).toEqual(["bytes=0-0", "bytes=990-999"]);
  await expectCode("ReadOutOfBounds", () => source.read(990, 11));
  await source.close();
  await expectCode("SourceClosed", () => source.read(0, 1));
});

test("a checkpoint over the network", async () => {
  const url = await serve(ranges(await goldenBytes("all-dtypes.safetensors")));
  const checkpoint = await openSafetensors(await urlSource(url));
  expect(await checkpoint.read("scalar", { as: "f32" })).toEqual(Float32Array.of(1.5));
});

test("an empty file", async () => {
  expect((await urlSource(await serve(ranges(new Uint8Array(0))))).size).toBe(0);
});

test("RangeNotSupported: the whole file, or a range without its size", async () => {
  const whole = await serve((_, response) => response.writeHead(200).end(content));
  await expectCode("RangeNotSupported", () => urlSource(whole));
  const sizeless = await serve((_, response) =>
    response.writeHead(206, { "content-range": "bytes 0-0/*" }).end("x"),
  );
  await expectCode("RangeNotSupported", () => urlSource(sizeless));
});

test("SourceOpenFailed: an error status, no server", async () => {
  const missing = await serve((_, response) => response.writeHead(404).end());
  const error = await expectCode("SourceOpenFailed", () => urlSource(missing));
  expect(error.context["status"]).toBe(404);
  expect(error.message).not.toContain("secret");
  await expectCode("SourceOpenFailed", () => urlSource("http://127.0.0.1:1/x"));
});

test("SourceChanged: another size or another etag", async () => {
  let answer = ranges(content);
  const url = await serve((request, response) => answer(request, response));
  const source = await urlSource(url);
  expect(await source.read(0, 1)).toEqual(Uint8Array.of(0));
  answer = ranges(content, '"2"');
  await expectCode("SourceChanged", () => source.read(0, 1));
  answer = ranges(new Uint8Array(999));
  await expectCode("SourceChanged", () => source.read(0, 1));
});

/** Answers any request with a range of the file and a body that may not fit it. */
function partial(range: string, body: Uint8Array): Handler {
  return (_, response) =>
    response.writeHead(206, { "content-range": `bytes ${range}/1000` }).end(body);
}

test("ReadFailed: an error status, another range, too few or too many bytes", async () => {
  let answer: Handler = ranges(content);
  const url = await serve((request, response) => answer(request, response));
  const source = await urlSource(url);
  answer = (_, response) => response.writeHead(500).end();
  await expectCode("ReadFailed", () => source.read(0, 10));
  answer = partial("1-10", content.subarray(1, 11));
  await expectCode("ReadFailed", () => source.read(0, 10));
  answer = partial("0-9", content.subarray(0, 9));
  await expectCode("ReadFailed", () => source.read(0, 10));
  answer = partial("0-9", content.subarray(0, 11));
  await expectCode("ReadFailed", () => source.read(0, 10));
  answer = (_, response) => response.destroy();
  await expectCode("ReadFailed", () => source.read(0, 10));
  answer = ranges(content);
  expect(await source.read(0, 10)).toEqual(content.subarray(0, 10));
});

test("an abort while opening throws the reason", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const url = await serve(() => controller.abort(reason));
  await expect(urlSource(url, { signal: controller.signal })).rejects.toBe(reason);
});

test("an abort during a read ends the request", async () => {
  let answer: Handler = ranges(content);
  const url = await serve((request, response) => answer(request, response));
  const source = await urlSource(url);
  const controller = new AbortController();
  const reason = new Error("enough");
  answer = () => controller.abort(reason);
  await expect(source.read(0, 10, controller.signal)).rejects.toBe(reason);
});
