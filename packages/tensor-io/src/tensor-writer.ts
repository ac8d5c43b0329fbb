import type { SafetensorsDType, TensorDType } from "./dtype";
import { encodeFromF32, type EncodeOptions } from "./encode";
import { TensorIoError } from "./errors";
import type { ByteSink } from "./sink";

/** A tensor's place in a file to be written. */
export interface PlacedTensor {
  readonly name: string;
  readonly dtype: TensorDType;
  readonly shape: readonly number[];
  /** First byte of the values, from the beginning of the file. */
  readonly begin: number;
  readonly end: number;
}

/** Everything about a file of tensors but their values. Bytes between tensors, and after the last one, are zero. */
export interface FilePlan<Tensor extends PlacedTensor = PlacedTensor> {
  /** In the order of the file. */
  readonly tensors: readonly Tensor[];
  /** The first bytes of the file. */
  readonly header: Uint8Array;
  /** Bytes of the whole file. */
  readonly byteLength: number;
}

/** A file being written from a plan: tensors in any order, a tensor in one piece or in several. */
export class TensorWriter {
  private readonly tensors: ReadonlyMap<string, PlacedTensor>;
  private readonly written = new Map<string, number>();
  private bytesLeft: number;
  /** Settles when everything given so far is written; begins with the header. */
  private queue: Promise<void> | undefined;

  constructor(
    private readonly sink: ByteSink,
    private readonly plan: FilePlan,
  ) {
    this.tensors = new Map(plan.tensors.map((tensor) => [tensor.name, tensor]));
    this.bytesLeft = plan.tensors.reduce((sum, { begin, end }) => sum + end - begin, 0);
  }

  /**
   * Writes the next bytes of a tensor, directly after those written for it before. Any failure aborts the file.
   * @throws TensorIoError TensorNotFound, TensorOverrun, WriteFailed, SinkClosed
   */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.orAbort(async () => {
      const tensor = this.tensors.get(name);
      if (tensor === undefined) {
        throw new TensorIoError("TensorNotFound", `${this.sink.name}: ${name} is not planned`, {
          file: this.sink.name,
          tensor: name,
        });
      }
      const before = this.written.get(name) ?? 0;
      const after = before + bytes.byteLength;
      const expected = tensor.end - tensor.begin;
      if (after > expected) {
        throw new TensorIoError(
          "TensorOverrun",
          `${this.sink.name}: ${name} takes ${expected} bytes, ${after} were given`,
          { file: this.sink.name, tensor: name, expected, actual: after },
        );
      }
      // Claimed before waiting, so that pieces given without waiting still follow each other.
      this.written.set(name, after);
      this.bytesLeft -= bytes.byteLength;
      await this.enqueue(() => this.sink.write(tensor.begin + before, bytes));
    });
  }

  /** True when every byte of every tensor was given. */
  get complete(): boolean {
    return this.bytesLeft === 0;
  }

  /** Makes the file whole and visible. @throws TensorIoError TensorIncomplete, WriteFailed, SinkClosed */
  async finish(): Promise<void> {
    await this.orAbort(async () => {
      if (!this.complete) {
        const incomplete = this.incomplete();
        throw new TensorIoError(
          "TensorIncomplete",
          `${this.sink.name}: ${incomplete.length} tensors are not whole, first ${incomplete[0]}`,
          { file: this.sink.name, tensors: incomplete },
        );
      }
      await this.enqueue(() => this.padAndCommit());
    });
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    await this.sink.abort();
  }

  private async padAndCommit(): Promise<void> {
    let position = this.plan.header.byteLength;
    for (const { begin, end } of this.plan.tensors) {
      if (begin > position) await this.sink.write(position, new Uint8Array(begin - position));
      position = end;
    }
    const rest = this.plan.byteLength - position;
    if (rest > 0) await this.sink.write(position, new Uint8Array(rest));
    await this.sink.commit();
  }

  private async enqueue(work: () => Promise<void>): Promise<void> {
    this.queue = (this.queue ?? this.sink.write(0, this.plan.header)).then(work);
    await this.queue;
  }

  private incomplete(): string[] {
    return this.plan.tensors
      .filter(({ name, begin, end }) => (this.written.get(name) ?? 0) < end - begin)
      .map(({ name }) => name);
  }

  private async orAbort(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      await this.sink.abort();
      throw cause;
    }
  }
}

/** Values in memory: float32 that is stored as `dtype` (F32 unless given), or the storage bytes of `dtype`. */
export type TensorData<DType extends TensorDType = SafetensorsDType> =
  | Float32Array
  | {
      readonly shape: readonly number[];
      readonly data: Float32Array;
      readonly dtype?: DType;
    }
  | {
      readonly shape: readonly number[];
      readonly data: Uint8Array;
      readonly dtype: DType;
    };

export interface WriteTensorsOptions extends Pick<EncodeOptions, "overflow"> {
  readonly signal?: AbortSignal | undefined;
}

/** Name, element type and shape of values in memory. A bare Float32Array is a vector. */
export function specOf<DType extends TensorDType>(
  name: string,
  tensor: TensorData<DType>,
): { name: string; dtype: DType | "F32"; shape: readonly number[] } {
  if (tensor instanceof Float32Array) return { name, dtype: "F32", shape: [tensor.length] };
  return { name, dtype: tensor.dtype ?? "F32", shape: tensor.shape };
}

/**
 * Encodes tensors from memory and writes the whole file that `plan` lays out for them.
 * @throws TensorIoError the codes of `plan` and `encodeFromF32`, ByteLengthMismatch, WriteFailed
 */
export async function writeTensors(
  sink: ByteSink,
  entries: readonly (readonly [string, TensorData<TensorDType>])[],
  plan: () => FilePlan,
  options: WriteTensorsOptions = {},
): Promise<void> {
  try {
    const planned = plan();
    const writer = new TensorWriter(sink, planned);
    const placed = new Map(planned.tensors.map((tensor) => [tensor.name, tensor]));
    for (const [name, tensor] of entries) {
      options.signal?.throwIfAborted();
      await writer.write(name, storageOf(placed.get(name)!, tensor, options));
    }
    await writer.finish();
  } catch (cause) {
    await sink.abort();
    throw cause;
  }
}

function storageOf(
  { name, dtype, begin, end }: PlacedTensor,
  given: TensorData<TensorDType>,
  options: WriteTensorsOptions,
): Uint8Array {
  const data = given instanceof Float32Array ? given : given.data;
  const expected = end - begin;
  const bytes =
    data instanceof Float32Array ? encodeFromF32(data, dtype, { ...options, tensor: name }) : data;
  if (bytes.byteLength === expected) return bytes;
  throw new TensorIoError(
    "ByteLengthMismatch",
    `${name}: the shape takes ${expected} bytes as ${dtype}, the data has ${bytes.byteLength}`,
    { tensor: name, dtype, expected, actual: bytes.byteLength },
  );
}
