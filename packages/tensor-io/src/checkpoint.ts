import { decodeToF32, decoderOf } from "./decode";
import { storageBlock, type TensorDType } from "./dtype";
import { TensorIoError } from "./errors";
import { allocate, type ByteSource } from "./source";

/** What a checkpoint knows of a tensor without reading its values. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: TensorDType;
  /** Row-major: the last dimension is contiguous; a linear weight is `[out, in]`. Empty for a scalar. */
  readonly shape: readonly number[];
  /** Bytes in the file. */
  readonly byteLength: number;
  /** The name of the file that holds it. */
  readonly file: string;
}

/** Which part of a tensor to read, and how to stop. */
export interface ReadOptions {
  /** Rows `[begin, end)` of the first dimension; all of it unless given. */
  readonly rows?: readonly [number, number] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Named tensors in one or more files; values are read when asked for. */
export interface Checkpoint {
  readonly format: "safetensors" | "gguf";
  /** By name, in the order of the files. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** `__metadata__` of safetensors, the string values of GGUF. */
  readonly metadata: ReadonlyMap<string, string>;
  /**
   * The bytes of a tensor, or of rows of it, as they are stored.
   * @throws TensorIoError TensorNotFound, InvalidRows, MisalignedSlice, TensorTooLarge, ReadFailed, SourceClosed
   */
  readBytes(name: string, options?: ReadOptions): Promise<Uint8Array>;
  /**
   * The values of a tensor, or of rows of it, as float32 (see `decodeToF32`).
   * @throws TensorIoError as `readBytes`, and UnsupportedConversion
   */
  read(name: string, options: ReadOptions & { readonly as: "f32" }): Promise<Float32Array>;
  /** Closes the files. */
  close(): Promise<void>;
}

/** A tensor and where its bytes are. */
export interface StoredTensor {
  readonly info: TensorInfo;
  readonly source: ByteSource;
  /** Of the first byte, from the beginning of the source. */
  readonly offset: number;
}

interface Slice {
  readonly tensor: StoredTensor;
  readonly offset: number;
  readonly bytes: number;
  readonly count: number;
}

/** Bytes decoded at a time, so that a large tensor is not held twice. */
const decodePiece = 16 * 1024 * 1024;

/** The checkpoint of every format: a table of stored tensors. */
export class StoredCheckpoint implements Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  private readonly stored: ReadonlyMap<string, StoredTensor>;

  constructor(
    readonly format: "safetensors" | "gguf",
    stored: Iterable<StoredTensor>,
    readonly metadata: ReadonlyMap<string, string>,
    private readonly sources: readonly ByteSource[],
  ) {
    this.stored = new Map(Array.from(stored, (tensor) => [tensor.info.name, tensor]));
    this.tensors = new Map(Array.from(this.stored, ([name, { info }]) => [name, info]));
  }

  async readBytes(name: string, options: ReadOptions = {}): Promise<Uint8Array> {
    const { tensor, offset, bytes } = this.slice(name, options.rows);
    return tensor.source.read(offset, bytes, options.signal);
  }

  async read(name: string, options: ReadOptions & { readonly as: "f32" }): Promise<Float32Array> {
    const { tensor, offset, bytes, count } = this.slice(name, options.rows);
    const { dtype } = tensor.info;
    const decode = decoderOf(dtype);
    const block = storageBlock(dtype);
    const pieceBytes = Math.floor(decodePiece / block.bytes) * block.bytes;
    if (bytes <= pieceBytes) {
      return decodeToF32(await tensor.source.read(offset, bytes, options.signal), dtype, count);
    }
    const out = allocate(name, count * 4, () => new Float32Array(count));
    for (let at = 0; at < bytes; at += pieceBytes) {
      const length = Math.min(pieceBytes, bytes - at);
      const piece = await tensor.source.read(offset + at, length, options.signal);
      const begin = (at / block.bytes) * block.elements;
      decode(piece, out.subarray(begin, begin + (length / block.bytes) * block.elements));
    }
    return out;
  }

  async close(): Promise<void> {
    await closeAll(this.sources);
  }

  private slice(name: string, rows: readonly [number, number] | undefined): Slice {
    const tensor = this.stored.get(name);
    if (tensor === undefined) {
      throw new TensorIoError("TensorNotFound", `the checkpoint has no tensor ${name}`, {
        tensor: name,
      });
    }
    const { shape, byteLength, dtype } = tensor.info;
    if (rows === undefined) {
      const count = shape.reduce((product, size) => product * size, 1);
      return { tensor, offset: tensor.offset, bytes: byteLength, count };
    }
    checkRows(tensor.info, rows);
    const rowSize = shape.slice(1).reduce((product, size) => product * size, 1);
    const block = storageBlock(dtype);
    const [begin, end] = [rows[0] * rowSize, rows[1] * rowSize];
    if (begin % block.elements !== 0 || end % block.elements !== 0) {
      throw new TensorIoError(
        "MisalignedSlice",
        `${tensor.info.file}: rows ${rows[0]} to ${rows[1]} of ${name} do not fall on the borders of ${dtype} blocks`,
        { file: tensor.info.file, tensor: name, rows, dtype, blockElements: block.elements },
      );
    }
    return {
      tensor,
      offset: tensor.offset + (begin / block.elements) * block.bytes,
      bytes: ((end - begin) / block.elements) * block.bytes,
      count: end - begin,
    };
  }
}

function checkRows(info: TensorInfo, [begin, end]: readonly [number, number]): void {
  const ordered =
    Number.isSafeInteger(begin) && Number.isSafeInteger(end) && 0 <= begin && begin <= end;
  if (ordered && info.shape.length > 0 && end <= info.shape[0]) return;
  throw new TensorIoError(
    "InvalidRows",
    `${info.file}: rows ${begin} to ${end} are not inside ${info.name} [${info.shape.join(", ")}]`,
    { file: info.file, tensor: info.name, rows: [begin, end], shape: info.shape },
  );
}

/** Closes sources; used where opening fails half-way, so that no file stays open. */
export async function closeAll(sources: Iterable<ByteSource>): Promise<void> {
  await Promise.all(Array.from(sources, (source) => source.close()));
}
