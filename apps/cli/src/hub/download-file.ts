import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CliError } from "../errors";
import { hubFetch, type HubFile } from "./hub-api";

export interface Download {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly file: HubFile;
  /** Final path. Until the content is checked the bytes are in `<path>.incomplete`, where the next attempt goes on. */
  readonly path: string;
  readonly signal: AbortSignal;
  /** Bytes of the file that are there. */
  readonly onBytes: (bytes: number) => void;
  /** The answer of a server that refuses. */
  readonly refusal: (status: number) => Error;
}

/** Attempts that bring nothing new before a download gives up. */
const FRUITLESS = 3;

/**
 * Downloads a file, going on where an earlier attempt stopped, and gives it its name once size and hash are right.
 *
 * @throws CliError `HubUnreachable`, `HubNotFound`, `HubHashMismatch`, `OutputUnusable`; the signal's reason, after which the
 *   partial file stays for the next attempt
 */
export async function downloadFile(download: Download): Promise<void> {
  const { file, path, onBytes } = download;
  if ((await sizeOf(path)) === file.size) return onBytes(file.size);
  const partial = `${path}.incomplete`;
  await mkdir(dirname(path), { recursive: true }).catch(unusable(path));
  let have = Math.min(await sizeOf(partial), file.size);
  for (let fruitless = 0; have < file.size || file.size === 0;) {
    const before = have;
    try {
      have = await receive(download, partial, have);
    } catch (error) {
      have = await sizeOf(partial);
      const transient = CliError.isInstance(error) && error.code === "HubUnreachable";
      fruitless = have > before ? 0 : fruitless + 1;
      if (!transient || fruitless === FRUITLESS) throw error;
    }
    if (have === file.size) break;
  }
  await check(download, partial);
  await rename(partial, path);
}

/** One request for what is missing; returns the bytes that are there afterwards. */
async function receive(
  { url, headers, file, signal, onBytes, refusal }: Download,
  partial: string,
  have: number,
): Promise<number> {
  const range = have > 0 ? { range: `bytes=${have}-` } : {};
  const response = await hubFetch(url, { headers: { ...headers, ...range }, signal });
  if (!response.ok || response.body === null) throw refusal(response.status);
  // A server that ignores the range sends everything again.
  let at = response.status === 206 ? have : 0;
  const handle = await open(partial, at > 0 ? "r+" : "w").catch(unusable(partial));
  try {
    for await (const piece of bodyOf(response, url, signal)) {
      if (at + piece.byteLength > file.size) throw mismatch(file, "has more bytes than announced");
      await writeAll(handle, piece, at).catch(unusable(partial));
      at += piece.byteLength;
      onBytes(at);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return at;
}

async function* bodyOf(
  response: Response,
  url: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = response.body!.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw new CliError(
      "HubUnreachable",
      `The connection to ${new URL(url).host} broke off; run the command again to go on where it stopped.`,
      { url },
      { cause },
    );
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function writeAll(
  handle: {
    write(
      bytes: Uint8Array,
      offset: number,
      length: number,
      at: number,
    ): Promise<{ bytesWritten: number }>;
  },
  bytes: Uint8Array,
  at: number,
): Promise<void> {
  for (let written = 0; written < bytes.byteLength;) {
    const left = bytes.byteLength - written;
    written += (await handle.write(bytes, written, left, at + written)).bytesWritten;
  }
}

/** A wrong file is removed, so that the next attempt begins anew. */
async function check({ file, signal }: Download, partial: string): Promise<void> {
  const hash = hashOf(file);
  for await (const piece of createReadStream(partial, { highWaterMark: 1 << 20 })) {
    signal.throwIfAborted();
    hash.update(piece as Uint8Array);
  }
  if (hash.digest("hex") === file.hash.hex) return;
  await rm(partial, { force: true });
  throw mismatch(file, `does not have the ${file.hash.algorithm} that the hub announced`);
}

/** Of the bytes, or for small files git's: of `blob <size>\0` and the bytes. */
function hashOf({ hash: { algorithm }, size }: HubFile): Hash {
  const hash = createHash(algorithm);
  return algorithm === "sha1" ? hash.update(`blob ${size}\0`) : hash;
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

function mismatch({ name, hash }: HubFile, what: string): CliError {
  return new CliError(
    "HubHashMismatch",
    `${name} ${what}; the download was thrown away, try again.`,
    { file: name, expected: hash.hex },
  );
}

function unusable(path: string): (cause: unknown) => never {
  return (cause) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(
      "OutputUnusable",
      `${path} cannot be written: ${reason}`,
      { path },
      { cause },
    );
  };
}
