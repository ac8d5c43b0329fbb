import { ServerError } from "../errors";

/** Compares a presented key with the right ones in a time that says nothing about them: digests are compared, and all of each. */
export class KeyGuard {
  private readonly digests: Promise<readonly Uint8Array[]>;

  constructor(keys: readonly string[]) {
    this.digests = Promise.all(keys.map(digest));
  }

  /** Throws ServerError `Unauthorised` unless the header is `Bearer` and a right key. */
  async check(authorization: string | null): Promise<void> {
    const presented = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    const own = await digest(presented ?? "");
    let matches = 0;
    for (const right of await this.digests) matches |= Number(equal(own, right));
    if (presented !== undefined && matches === 1) return;
    throw new ServerError(
      "Unauthorised",
      presented === undefined
        ? "An API key is needed: Authorization: Bearer KEY."
        : "The API key is wrong.",
    );
  }
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= a[index]! ^ b[index]!;
  return difference === 0;
}

/**
 * Refuses requests that a browser was tricked into sending: a page of another host can make its name point to this machine, but not
 * change the Host header. Throws ServerError `ForeignHost`.
 */
export function checkHost(url: string, allowed: ReadonlySet<string>): void {
  const { hostname } = new URL(url);
  if (allowed.has(hostname.toLowerCase())) return;
  throw new ServerError("ForeignHost", "The Host header names a host that is not served here.");
}

/**
 * The JSON object that a request brings, of at most `limit` bytes: a larger one is refused as soon as that is known.
 * @throws ServerError `NotJson`, `BodyTooLarge`, `InvalidJson`
 */
export async function readJson(
  request: Request,
  limit: number,
): Promise<Readonly<Record<string, unknown>>> {
  // Other types can be sent across origins without asking first.
  if (!/^application\/json *(;|$)/i.test(request.headers.get("content-type") ?? "")) {
    throw new ServerError("NotJson", "The content type must be application/json.");
  }
  const bytes = await readBytes(request, limit);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Readonly<Record<string, unknown>>;
    }
  } catch {
    // Told below: the parser's own message would quote the body.
  }
  throw new ServerError("InvalidJson", "The body must be one JSON object in UTF-8.");
}

async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new ServerError("BodyTooLarge", `The body may have ${limit} bytes at most.`, { limit });
  if (Number(request.headers.get("content-length") ?? 0) > limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > limit) throw tooLarge();
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
