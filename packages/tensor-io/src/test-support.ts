import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import { TensorIoError, type TensorIoErrorCode } from "./errors";
import type { ByteSource } from "./source";

/** The path of a golden file; tools/golden/tensor_io.py makes them. */
export const goldenPath = (name: string) =>
  fileURLToPath(new URL(`../golden/${name}`, import.meta.url));

export async function goldenBytes(name: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(goldenPath(name)));
}

export async function goldenJson<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(goldenPath(name), "utf8")) as T;
}

/** Fresh, aligned bytes of a base64 text. */
export const fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, "base64"));
export const f32FromBase64 = (text: string) => new Float32Array(fromBase64(text).buffer);

/** Asserts that the work fails with a code of ours and gives the error. */
export async function expectCode(
  code: TensorIoErrorCode,
  work: () => unknown,
): Promise<TensorIoError> {
  try {
    await work();
  } catch (error) {
    if (!TensorIoError.isInstance(error)) throw error;
    expect(error.code, error.message).toBe(code);
    return error;
  }
  throw new Error(`expected ${code}, but nothing failed`);
}

/** A safetensors file of any header text, sound or not, followed by `data` zero bytes. */
export function safetensorsBytes(header: string | Uint8Array, data = 0): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.byteLength + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  bytes.set(text, 8);
  return bytes;
}

/** A source that records which ranges are read. */
export function recordingSource(source: ByteSource): ByteSource & { reads: [number, number][] } {
  const reads: [number, number][] = [];
  return {
    name: source.name,
    size: source.size,
    reads,
    read(offset, length, signal) {
      reads.push([offset, length]);
      return source.read(offset, length, signal);
    },
    close: () => source.close(),
  };
}

/** A folder that is removed when the test ends. */
export async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "tensor-io-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Builds GGUF files byte by byte, sound or not. */
export class GgufBytes {
  private readonly parts: Uint8Array[] = [];

  constructor(magic = "GGUF", version = 3) {
    this.raw(new TextEncoder().encode(magic)).u32(version);
  }

  raw(bytes: Uint8Array): this {
    this.parts.push(bytes);
    return this;
  }

  u32(value: number): this {
    return this.raw(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number | bigint): this {
    return this.raw(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  string(text: string | Uint8Array): this {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    return this.u64(bytes.length).raw(bytes);
  }

  counts(tensors: number | bigint, keys: number | bigint): this {
    return this.u64(tensors).u64(keys);
  }

  /** A description of a tensor; `dims` in the file's order. */
  tensor(
    name: string,
    dims: readonly (number | bigint)[],
    type: number,
    offset: number | bigint,
  ): this {
    this.string(name).u32(dims.length);
    for (const size of dims) this.u64(size);
    return this.u32(type).u64(offset);
  }

  /** The file, with the header padded and `data` bytes after it. */
  end(data = 0, alignment = 32): Uint8Array {
    const header = Buffer.concat(this.parts);
    const padded = Math.ceil(header.length / alignment) * alignment;
    const bytes = new Uint8Array(padded + data);
    bytes.set(header);
    return bytes;
  }
}
