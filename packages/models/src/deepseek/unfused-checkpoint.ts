import {
  decodeToF32,
  type Checkpoint,
  type ReadOptions,
  type TensorInfo,
} from "@transmla/tensor-io";
import type { DeepseekTensor, FusedPart } from "./layout";

/** A view of a checkpoint in the DeepSeek layout under our names: parts of fused tensors, their rows in our order. */
export class UnfusedCheckpoint implements Checkpoint {
  readonly format: Checkpoint["format"];
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  private readonly parts = new Map<string, FusedPart & { readonly fused: TensorInfo }>();

  /** @param stored the tensors of the checkpoint, already checked to be there */
  constructor(
    private readonly inner: Checkpoint,
    stored: readonly DeepseekTensor[],
  ) {
    this.format = inner.format;
    this.metadata = inner.metadata;
    const tensors = new Map(inner.tensors);
    for (const { name: fusedName, parts } of stored) {
      const fused = inner.tensors.get(fusedName)!;
      if (!parts) continue;
      tensors.delete(fusedName);
      for (const part of parts) {
        this.parts.set(part.name, { ...part, fused });
        tensors.set(part.name, {
          ...fused,
          name: part.name,
          shape: [part.rows.length, ...fused.shape.slice(1)],
          byteLength: (fused.byteLength / fused.shape[0]) * part.rows.length,
        });
      }
    }
    this.tensors = tensors;
  }

  async readBytes(name: string, options: ReadOptions = {}): Promise<Uint8Array> {
    const part = this.parts.get(name);
    if (!part) return this.inner.readBytes(name, options);
    const { fused } = part;
    const [from, to] = options.rows ?? [0, part.rows.length];
    const wanted = part.rows.subarray(from, to);
    if (wanted.length === 0) return new Uint8Array();
    // Rows of the other part lie between; they are read over.
    const first = wanted.reduce((a, b) => Math.min(a, b));
    const last = wanted.reduce((a, b) => Math.max(a, b));
    const bytes = await this.inner.readBytes(fused.name, {
      ...options,
      rows: [first, last + 1],
    });
    const rowBytes = fused.byteLength / fused.shape[0];
    const result = new Uint8Array(wanted.length * rowBytes);
    for (const [row, source] of wanted.entries()) {
      const at = (source - first) * rowBytes;
      result.set(bytes.subarray(at, at + rowBytes), row * rowBytes);
    }
    return result;
  }

  async read(name: string, options: ReadOptions & { readonly as: "f32" }): Promise<Float32Array> {
    if (!this.parts.has(name)) return this.inner.read(name, options);
    return decodeToF32(await this.readBytes(name, options), this.tensors.get(name)!.dtype);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
