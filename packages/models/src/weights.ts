import type { Device, Tensor, Weight, WeightStorage } from "@transmla/kernels";
import { sha256, type Checkpoint } from "@transmla/tensor-io";
import { quantiseRows } from "./quantise";

/** Bytes read at once: large enough for the disk, small beside any model. */
const PIECE_BYTES = 8 << 20;
/** Bytes of every matrix that a fingerprint is made of. */
const SAMPLE_BYTES = 256;

/** Storages of a device by the element type on disk; what has none is widened to float32. */
const storages: Readonly<Record<string, WeightStorage>> = {
  F32: "f32",
  F16: "f16",
  BF16: "bf16",
  Q8_0: "q8_0",
  Q4_0: "q4_0",
  Q4_1: "q4_1",
  Q4_K: "q4_k",
  Q6_K: "q6_k",
};

/** How matrices are kept on the device: `stored` as on disk where the device can, `i8` rounded to bytes with a scale per row. */
export type WeightPrecision = "stored" | "i8";

/** The storage in which a device keeps a matrix of this element type. */
export function weightStorage(dtype: string, precision: WeightPrecision): WeightStorage {
  return precision === "i8" ? "i8" : (storages[dtype] ?? "f32");
}

/** Loads tensors of a checkpoint onto a device, a matrix in pieces of rows, so that nothing is held twice. */
export class WeightLoader {
  private readonly loaded: (Weight | Tensor)[] = [];
  /** Name, shape and first numbers of every matrix, as the device got them. */
  private readonly samples: string[] = [];

  constructor(
    readonly device: Device,
    private readonly checkpoint: Checkpoint,
    private readonly signal?: AbortSignal,
    private readonly precision: WeightPrecision = "stored",
  ) {}

  /** A matrix `[out, in]`; formats without a kernel of their own arrive as float32. */
  async matrix(name: string): Promise<Weight> {
    const { dtype, shape, byteLength } = this.checkpoint.tensors.get(name)!;
    const [rows, columns] = shape as [number, number];
    const storage = weightStorage(dtype, this.precision);
    const weight = this.device.weight([rows, columns], storage);
    this.loaded.push(weight);
    const asStored = storage === storages[dtype];
    const rowBytes = asStored ? byteLength / rows : columns * 4;
    const step = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
    for (let first = 0; first < rows; first += step) {
      const slice = { rows: [first, Math.min(rows, first + step)] as const, ...this.abort() };
      const bytes = asStored
        ? await this.checkpoint.readBytes(name, slice)
        : this.converted(await this.checkpoint.read(name, { as: "f32", ...slice }), columns);
      this.device.writeRows(weight, first, bytes);
      if (first === 0) this.samples.push(`${name} ${shape.join()} ${storage}`, hexOf(bytes));
    }
    return weight;
  }

  private converted(values: Float32Array, columns: number): Uint8Array {
    return this.precision === "i8" ? quantiseRows(values, columns) : new Uint8Array(values.buffer);
  }

  /** A vector, as a tensor `[1, size]`. */
  async vector(name: string): Promise<Tensor> {
    return this.keep(await this.checkpoint.read(name, { as: "f32", ...this.abort() }));
  }

  private keep(values: Float32Array): Tensor {
    const vector = this.device.tensor(values, [1, values.length]);
    this.loaded.push(vector);
    return vector;
  }

  /** Weights of an RMS norm, as a tensor `[1, size]`: the stored ones plus the family's offset. */
  async norm(name: string, offset: number): Promise<Tensor> {
    const values = await this.checkpoint.read(`${name}.weight`, { as: "f32", ...this.abort() });
    return this.keep(offset === 0 ? values : values.map((value) => value + offset));
  }

  /** A vector's numbers, for decisions that are made on the host. */
  numbers(name: string): Promise<Float32Array> {
    return this.checkpoint.read(name, { as: "f32", ...this.abort() });
  }

  /** A projection with the bias beside it, if the checkpoint has one. */
  async projection(name: string): Promise<Projection> {
    const weight = await this.matrix(`${name}.weight`);
    const bias = `${name}.bias`;
    return this.checkpoint.tensors.has(bias)
      ? { weight, bias: await this.vector(bias) }
      : { weight };
  }

  /** The projection, or nothing when the model has none of that name. */
  async optionalProjection(name: string): Promise<Projection | undefined> {
    return this.checkpoint.tensors.has(`${name}.weight`) ? this.projection(name) : undefined;
  }

  /**
   * What tells one model from another: its description, and names, shapes and first numbers of its matrices, hashed. Reading all of
   * the weights for it would take as long as loading them.
   */
  fingerprint(description: string): Promise<string> {
    return sha256(new TextEncoder().encode([description, ...this.samples].join("\n")));
  }

  /** Releases everything this loader put on the device, whether or not loading came to its end. */
  release(): void {
    for (const resource of this.loaded.splice(0)) this.device.release(resource);
  }

  private abort(): { signal?: AbortSignal } {
    this.signal?.throwIfAborted();
    return this.signal ? { signal: this.signal } : {};
  }
}

function hexOf(bytes: Uint8Array): string {
  const some = bytes.subarray(0, SAMPLE_BYTES);
  return Array.from(some, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** `y = x W^T + b`: `weight [out, in]`, `bias [1, out]`. */
export interface Projection {
  readonly weight: Weight;
  readonly bias?: Tensor;
}

/** Applies a projection: `[tokens, in]` → `[tokens, out]`. */
export function project(device: Device, x: Tensor, { weight, bias }: Projection): Tensor {
  return device.linear(x, weight, bias);
}
