import { reasonOf, TensorIoError } from "./errors";
import { allocate, checkRead, readFailed, type ByteSource } from "./source";

/** How to reach an address. */
export interface UrlSourceOptions {
  /** Another implementation of `fetch`, for example one that retries. */
  readonly fetch?: typeof globalThis.fetch;
  /** Sent with every request, for example an authorization. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

interface ContentRange {
  readonly begin: number;
  readonly end: number;
  readonly size: number;
}

/**
 * A file on an HTTP server that answers range requests (RFC 9110, section 14); nothing is kept of it.
 * The size comes from a first request for one byte.
 * @throws TensorIoError RangeNotSupported, SourceOpenFailed; later reads also SourceChanged, ReadFailed
 */
export async function urlSource(
  url: string | URL,
  options: UrlSourceOptions = {},
): Promise<ByteSource> {
  const address = new URL(url);
  const name = address.origin + address.pathname;
  const request: RangeRequest = async (range, extra, signal) =>
    (options.fetch ?? globalThis.fetch)(address, {
      // identity: offsets of a compressed body would mean something else.
      headers: { ...options.headers, "accept-encoding": "identity", ...extra, range },
      signal: signal ?? null,
    });

  const { size, etag } = await probe(name, options.signal, request);
  // If-Range turns a changed file into an answer with status 200; it needs a strong validator.
  const guard: Record<string, string> =
    etag !== null && !etag.startsWith("W/") ? { "if-range": etag } : {};
  let closed = false;
  const source: ByteSource = {
    name,
    size,
    async read(offset, length, signal) {
      checkRead(source, closed, offset, length, signal);
      if (length === 0) return new Uint8Array(0);
      const range = `bytes=${offset}-${offset + length - 1}`;
      try {
        const response = await request(range, guard, signal);
        await checkAnswer(response, source, offset, length);
        return await readBody(response, source, offset, length);
      } catch (cause) {
        signal?.throwIfAborted();
        if (TensorIoError.isInstance(cause)) throw cause;
        throw readFailed(name, offset, length, reasonOf(cause), cause);
      }
    },
    async close() {
      closed = true;
    },
  };
  return source;
}

type RangeRequest = (
  range: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
) => Promise<Response>;

async function probe(
  name: string,
  signal: AbortSignal | undefined,
  request: RangeRequest,
): Promise<{ size: number; etag: string | null }> {
  const response = await request("bytes=0-0", {}, signal).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw new TensorIoError(
      "SourceOpenFailed",
      `${name}: the request failed: ${reasonOf(cause)}`,
      { file: name },
      { cause },
    );
  });
  await response.body?.cancel();
  const range = response.headers.get("content-range");
  if (response.status === 416 && range?.trim() === "bytes */0") return { size: 0, etag: null };
  if (response.status === 200) {
    throw new TensorIoError(
      "RangeNotSupported",
      `${name}: the server ignores range requests; download the file and open it locally`,
      { file: name },
    );
  }
  if (response.status !== 206) {
    throw new TensorIoError("SourceOpenFailed", `${name}: the server answered ${response.status}`, {
      file: name,
      status: response.status,
    });
  }
  const parsed = parseContentRange(range);
  if (parsed === undefined || parsed.begin !== 0 || parsed.end !== 0) {
    throw new TensorIoError(
      "RangeNotSupported",
      `${name}: the answer to a range request does not say the size (content-range: ${range})`,
      { file: name, contentRange: range },
    );
  }
  return { size: parsed.size, etag: response.headers.get("etag") };
}

function parseContentRange(header: string | null): ContentRange | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  return { begin: Number(match[1]), end: Number(match[2]), size: Number(match[3]) };
}

async function checkAnswer(
  response: Response,
  source: ByteSource,
  offset: number,
  length: number,
): Promise<void> {
  const range = parseContentRange(response.headers.get("content-range"));
  const changed =
    response.status === 200 ||
    response.status === 412 ||
    response.status === 416 ||
    (range !== undefined && range.size !== source.size);
  const right =
    response.status === 206 && range?.begin === offset && range.end === offset + length - 1;
  if (right && !changed) return;
  await response.body?.cancel();
  if (changed) {
    throw new TensorIoError(
      "SourceChanged",
      `${source.name}: the file changed on the server; open it again`,
      { file: source.name, status: response.status },
    );
  }
  throw readFailed(source.name, offset, length, `the server answered ${response.status}`);
}

/** The body, never more than `length` bytes of it whatever the server sends. */
async function readBody(
  response: Response,
  source: ByteSource,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = allocate(source.name, length, () => new Uint8Array(length));
  const reader = response.body?.getReader();
  let filled = 0;
  for (let piece = await reader?.read(); piece?.value; piece = await reader?.read()) {
    if (filled + piece.value.byteLength > length) {
      await reader?.cancel();
      throw readFailed(source.name, offset, length, "the server sent more bytes than asked for");
    }
    bytes.set(piece.value, filled);
    filled += piece.value.byteLength;
  }
  if (filled !== length) {
    throw readFailed(source.name, offset, length, `only ${filled} bytes came`);
  }
  return bytes;
}
