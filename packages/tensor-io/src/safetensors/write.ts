import { encodeFromF32, type EncodeOptions } from "../encode";
import { TensorIoError } from "../errors";
import type { ByteSink } from "../sink";
import type { HeaderTensor } from "./header";
import { planSafetensors, type SafetensorsPlan, type TensorSpec } from "./plan";
import type { SafetensorsDType } from "../dtype";

/** A file being written from a plan: tensors in any order, a tensor in one piece or in several. */
export class SafetensorsWriter {
  private readonly tensors: ReadonlyMap<string, HeaderTensor>;
  private readonly written = new Map<string, number>();
  private bytesLeft: number;
  /** Settles when everything given so far is written; begins with the header. */
  private queue: Promise<void> | undefined;

  constructor(
    private readonly sink: ByteSink,
    private readonly plan: SafetensorsPlan,
  ) {
    this.tensors = new Map(plan.tensors.map((tensor) => [tensor.name, tensor]));
    this.bytesLeft = plan.byteLength - plan.header.byteLength;
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
      await this.enqueue(() => this.sink.commit());
    });
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    await this.sink.abort();
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
export type TensorData =
  | Float32Array
  | {
      readonly shape: readonly number[];
      readonly data: Float32Array;
      readonly dtype?: SafetensorsDType;
    }
  | {
      readonly shape: readonly number[];
      readonly data: Uint8Array;
      readonly dtype: SafetensorsDType;
    };

export interface WriteOptions extends Pick<EncodeOptions, "overflow"> {
  readonly metadata?: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes tensors from memory into one file. A bare Float32Array is a vector.
 * @throws TensorIoError the codes of `planSafetensors` and `encodeFromF32`, ByteLengthMismatch, WriteFailed
 */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: ReadonlyMap<string, TensorData> | Readonly<Record<string, TensorData>>,
  options: WriteOptions = {},
): Promise<void> {
  const entries: [string, TensorData][] =
    tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  try {
    const plan = planSafetensors(
      entries.map(([name, tensor]) => specOf(name, tensor)),
      options.metadata,
    );
    const writer = new SafetensorsWriter(sink, plan);
    const planned = new Map(plan.tensors.map((tensor) => [tensor.name, tensor]));
    for (const [name, tensor] of entries) {
      options.signal?.throwIfAborted();
      const { dtype, begin, end } = planned.get(name) as HeaderTensor;
      await writer.write(name, storageOf(name, tensor, dtype, end - begin, options));
    }
    await writer.finish();
  } catch (cause) {
    await sink.abort();
    throw cause;
  }
}

function storageOf(
  tensor: string,
  given: TensorData,
  dtype: SafetensorsDType,
  expected: number,
  options: WriteOptions,
): Uint8Array {
  const data = given instanceof Float32Array ? given : given.data;
  const bytes =
    data instanceof Float32Array ? encodeFromF32(data, dtype, { ...options, tensor }) : data;
  if (bytes.byteLength === expected) return bytes;
  throw new TensorIoError(
    "ByteLengthMismatch",
    `${tensor}: the shape takes ${expected} bytes as ${dtype}, the data has ${bytes.byteLength}`,
    { tensor, dtype, expected, actual: bytes.byteLength },
  );
}

function specOf(name: string, tensor: TensorData): TensorSpec {
  if (tensor instanceof Float32Array) return { name, dtype: "F32", shape: [tensor.length] };
  return { name, dtype: tensor.dtype ?? "F32", shape: tensor.shape };
}
