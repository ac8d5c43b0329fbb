import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { modelFolderPath } from "@transmla/sample-model";
import { onTestFinished } from "vitest";

export const commit = "0123456789abcdef0123456789abcdef01234567";
export const weights = "model.safetensors";

/** A hub on this machine that has the sample model as `tiny/sample`. */
export class Mirror {
  readonly requests: { readonly url: string; readonly range: string | undefined }[] = [];
  /** Cuts the next answer with weights after so many bytes. */
  cutAfter: number | undefined;
  /** Changes a byte of the weights. */
  corrupt = false;
  token: string | undefined;
  /** Milliseconds between pieces of 64 KB of the weights. */
  pace = 0;
  endpoint = "";
  private readonly files = new Map<string, Buffer>();

  static async start(extra: Record<string, Buffer> = {}, without: RegExp = /^$/): Promise<Mirror> {
    const mirror = new Mirror();
    for (const name of await readdir(modelFolderPath())) {
      if (without.test(name)) continue;
      mirror.files.set(name, await readFile(join(modelFolderPath(), name)));
    }
    for (const [name, content] of Object.entries(extra)) mirror.files.set(name, content);
    const server = createServer((request, response) => mirror.answer(request, response));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    onTestFinished(() => void server.close());
    mirror.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return mirror;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? "";
    this.requests.push({ url, range: request.headers.range });
    const authorised = !this.token || request.headers.authorization === `Bearer ${this.token}`;
    const name = new RegExp(`^/tiny/sample/resolve/${commit}/([^/]+)$`).exec(url)?.[1];
    const content = name === undefined ? undefined : this.files.get(name);
    if (!authorised) response.writeHead(401).end();
    else if (url === "/api/models/tiny/sample/revision/main?blobs=true") {
      response.end(JSON.stringify({ sha: commit, siblings: this.siblings() }));
    } else if (content) this.send(name!, content, request, response);
    else response.writeHead(404).end();
  }

  private siblings(): object[] {
    const listed = Array.from(this.files, ([rfilename, content]) => {
      const size = content.length;
      const blob = createHash("sha1").update(`blob ${size}\0`).update(content).digest("hex");
      const sha256 = createHash("sha256").update(content).digest("hex");
      // As on the hub: large files have a hash of their content beside git's of a pointer to it.
      return size > 1e6
        ? { rfilename, size, blobId: "0".repeat(40), lfs: { sha256, size, pointerSize: 132 } }
        : { rfilename, size, blobId: blob };
    });
    return [...listed, { rfilename: "onnx/model.onnx", size: 1, blobId: "0".repeat(40) }];
  }

  private send(
    name: string,
    content: Buffer,
    { headers }: IncomingMessage,
    response: ServerResponse,
  ): void {
    const begin = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
    const body = Buffer.from(content.subarray(begin));
    if (this.corrupt && name === weights) body[body.length - 1]! ^= 1;
    response.writeHead(begin > 0 ? 206 : 200, { "content-length": body.length });
    const cut = name === weights ? this.cutAfter : undefined;
    if (name === weights && this.pace > 0) return void this.sendSlowly(body, response);
    if (cut === undefined) return void response.end(body);
    this.cutAfter = undefined;
    response.write(body.subarray(0, cut), () => response.destroy());
  }

  private async sendSlowly(body: Buffer, response: ServerResponse): Promise<void> {
    for (let at = 0; at < body.length && !response.destroyed; at += 1 << 16) {
      response.write(body.subarray(at, at + (1 << 16)));
      await new Promise((done) => setTimeout(done, this.pace));
    }
    response.end();
  }
}
