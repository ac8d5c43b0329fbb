import { TensorIoError } from "../errors";
import { decodeUtf8 } from "../json/strict-json";
import type { ByteSource } from "../source";

/** Bytes fetched at a time: a whole header in one request for small vocabularies, few requests for large ones. */
const windowBytes = 1024 * 1024;
/** The largest string. JavaScript's own limit is 2^29 - 24 characters. */
const maxStringBytes = 2 ** 28;

/** Reads little-endian values one after another; every declared length is compared with the bytes that remain. */
export class GgufCursor {
  private window: Uint8Array = new Uint8Array(0);
  private view = new DataView(this.window.buffer);
  /** Of the window in the source. */
  private windowBegin = 0;
  /** In the window. */
  private at = 0;

  constructor(
    private readonly source: ByteSource,
    private readonly signal: AbortSignal | undefined,
  ) {}

  get file(): string {
    return this.source.name;
  }

  /** From the beginning of the source. */
  get position(): number {
    return this.windowBegin + this.at;
  }

  get remaining(): number {
    return this.source.size - this.position;
  }

  /** Refuses `count` items of at least `bytes` each that cannot be there. @throws TensorIoError GgufTruncated */
  expect(count: number | bigint, bytes: number, what: string): void {
    // Division, because the product of a declared count may not be exact.
    if (Number(count) <= Math.floor(this.remaining / bytes)) return;
    throw new TensorIoError(
      "GgufTruncated",
      `${this.file}: ${what} (${count}) does not fit into the ${this.remaining} bytes that remain; was the download cut off?`,
      { file: this.file, what, count: count.toString(), remaining: this.remaining },
    );
  }

  /** Refuses a number of things that are there but too many to hold. @throws TensorIoError GgufTooLarge */
  limit(count: bigint, most: number, what: string): void {
    if (count <= BigInt(most)) return;
    throw new TensorIoError("GgufTooLarge", `${this.file}: ${what} (${count}) exceeds ${most}`, {
      file: this.file,
      what,
      count: count.toString(),
      limit: most,
    });
  }

  async u32(what: string): Promise<number> {
    await this.need(4, what);
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  async u64(what: string): Promise<bigint> {
    await this.need(8, what);
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }

  /** A fresh copy of the next bytes, aligned for every element type. */
  async bytes(length: number, what: string): Promise<Uint8Array> {
    await this.need(length, what);
    this.at += length;
    return this.window.slice(this.at - length, this.at);
  }

  /** A u64 length and as many bytes of UTF-8. @throws TensorIoError GgufTruncated, GgufTooLarge, InvalidUtf8 */
  async string(what: string): Promise<string> {
    const length = await this.u64(what);
    this.expect(length, 1, `the length of ${what}`);
    this.limit(length, maxStringBytes, `the length of ${what}`);
    const bytes = Number(length);
    await this.need(bytes, what);
    this.at += bytes;
    return decodeUtf8(this.window.subarray(this.at - bytes, this.at), `${this.file}: ${what}`);
  }

  /** Makes sure that the window has the next bytes. */
  private async need(length: number, what: string): Promise<void> {
    if (this.window.byteLength - this.at >= length) return;
    this.expect(length, 1, what);
    const { position } = this;
    const fetched = Math.min(Math.max(length, windowBytes), this.source.size - position);
    this.window = await this.source.read(position, fetched, this.signal);
    this.view = new DataView(this.window.buffer, this.window.byteOffset, this.window.byteLength);
    this.windowBegin = position;
    this.at = 0;
  }
}
