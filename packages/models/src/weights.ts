import type { Device, Tensor, Weight, WeightStorage } from "@transmla/kernels";
import type { Checkpoint } from "@transmla/tensor-io";

/** Bytes read at once: large enough for the disk, small beside any model. */
const PIECE_BYTES = 8 << 20;

const storages: Readonly<Record<string, WeightStorage>> = { F32: "f32", F16: "f16", BF16: "bf16" };

/** Loads tensors of a checkpoint onto a device, a matrix in pieces of rows, so that nothing is held twice. */
export class WeightLoader {
  private readonly loaded: (Weight | Tensor)[] = [];

  constructor(
    readonly device: Device,
    private readonly checkpoint: Checkpoint,
    private readonly signal?: AbortSignal,
  ) {}

  /** A matrix `[out, in]` in the storage it has on disk; formats without a kernel of their own arrive as float32. */
  async matrix(name: string): Promise<Weight> {
    const { dtype, shape, byteLength } = this.checkpoint.tensors.get(name)!;
    const [rows, columns] = shape as [number, number];
    const storage = storages[dtype];
    const weight = this.device.weight([rows, columns], storage ?? "f32");
    const rowBytes = storage ? byteLength / rows : columns * 4;
    const step = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
    this.loaded.push(weight);
    for (let first = 0; first < rows; first += step) {
      const slice = { rows: [first, Math.min(rows, first + step)] as const, ...this.abort() };
      const bytes = storage
        ? await this.checkpoint.readBytes(name, slice)
        : new Uint8Array((await this.checkpoint.read(name, { as: "f32", ...slice })).buffer);
      this.device.writeRows(weight, first, bytes);
    }
    return weight;
  }

  /** A vector, as a tensor `[1, size]`. */
  async vector(name: string): Promise<Tensor> {
    const values = await this.checkpoint.read(name, { as: "f32", ...this.abort() });
    const vector = this.device.tensor(values, [1, values.length]);
    this.loaded.push(vector);
    return vector;
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

  /** Releases everything this loader put on the device, whether or not loading came to its end. */
  release(): void {
    for (const resource of this.loaded.splice(0)) this.device.release(resource);
  }

  private abort(): { signal?: AbortSignal } {
    this.signal?.throwIfAborted();
    return this.signal ? { signal: this.signal } : {};
  }
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
