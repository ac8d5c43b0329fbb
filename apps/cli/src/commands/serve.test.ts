import { spawn, type ChildProcess } from "node:child_process";
import { request } from "node:http";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { transmla, transmlaJson } from "../testing";

const program = fileURLToPath(new URL("../../bin/transmla.js", import.meta.url));

interface Serving {
  readonly child: ChildProcess;
  readonly url: string;
  /** What it wrote so far. */
  output(): string;
  /** Its exit code. */
  readonly exited: Promise<number | null>;
}

/** The built program, listening. */
async function serve(...flags: string[]): Promise<Serving> {
  const argv = [program, "serve", "sample", "--port", "0", "--threads", "1", ...flags];
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => (output += String(data)));
  }
  const exited = new Promise<number | null>((resolve) => void child.once("exit", resolve));
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on("data", () => {
      const found = /http:\/\/\S+(?=\/v1)/.exec(output)?.[0];
      if (found) resolve(found);
    });
    void exited.then((code) => reject(new Error(`It ended with ${code}: ${output}`)));
  });
  return { child, url, output: () => output, exited };
}

const complete = (url: string, fields: object = {}) =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "sample", prompt: "ROMEO:", max_tokens: 4, ...fields }),
    headers: { "content-type": "application/json", authorization: "Bearer secret" },
  });

/** The status of `/health` for a Host header, which `fetch` does not let one choose. */
function statusFor(url: string, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asking = request(`${url}/health`, { headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asking.on("error", reject).end();
  });
}

describe("serve", () => {
  it("answers, finishes what is open when it is told to stop, and exits with 0", async () => {
    const { child, url, output, exited } = await serve("--cache-bytes", "20MB");
    expect((await complete(url)).status).toBe(200);
    expect(output()).toMatch(
      /^sample at http:\/\/127\.0\.0\.1:\d+\/v1\ncontext 1,024 tokens · cache 3,\d\d\d tokens\nfor programs on this machine, without a key\nCtrl-C stops/,
    );
    expect(await statusFor(url, "evil.example")).toBe(403);
    expect(await statusFor(url, "localhost")).toBe(200);
    const stream = await complete(url, { max_tokens: 300, stream: true });
    child.kill("SIGTERM");
    expect(await stream.text()).toContain("[DONE]");
    expect(await exited).toBe(0);
    expect(output()).toMatch(/stopping: 1 open requests are finished first\nstopped\n$/);
  });

  it("wants its key", async () => {
    const { child, url, output, exited } = await serve("--api-key", "secret", "--quiet");
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    expect((await complete(url)).status).toBe(200);
    child.kill("SIGINT");
    expect(await exited).toBe(0);
    expect(output()).toContain("clients need the API key");
    expect(output()).not.toContain("secret");
  });

  it("refuses a public address without a key, and does nothing", async () => {
    for (const host of ["0.0.0.0", "::", "192.168.1.5", "example.com"]) {
      const { code, result } = await transmlaJson(["serve", "sample", "--host", host]);
      expect(code).toBe(2);
      expect(result).toMatchObject({
        error: { code: "Usage", message: expect.stringContaining("--without-key") },
      });
    }
  });

  it("serves a public address with a key from the environment, or when that is said", async () => {
    const env = { TRANSMLA_API_KEY: "secret" };
    const flags = ["serve", "sample", "--host", "0.0.0.0", "--port", "0", "--threads", "1"];
    // Whoever is stopped while the model loads was not refused.
    const stopped = { isTTY: true, interruptAt: "loading" };
    expect(await transmla(flags, { ...stopped, env })).toMatchObject({ code: 130 });
    expect(await transmla([...flags, "--without-key"], stopped)).toMatchObject({ code: 130 });
  });

  it("says what is wrong with an address", async () => {
    const other = createServer();
    onTestFinished(() => void other.close());
    await new Promise<void>((resolve) => void other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as { port: number };
    const argv = ["serve", "sample", "--threads", "1", "--port", String(port)];
    const { code, result } = await transmlaJson(argv);
    expect(code).toBe(1);
    expect(result).toMatchObject({
      error: { code: "AddressUnusable", message: expect.stringContaining("is taken already") },
    });
  });
});
