import { KernelsError } from "@transmla/kernels";
import type { WebgpuStatistics } from "../webgpu-options";

/** A buffer on the GPU. */
export interface Block {
  readonly id: number;
  readonly buffer: GPUBuffer;
  /** At least what was asked for, a multiple of 16. */
  readonly bytes: number;
  /** The last batch of commands that names this buffer; see `Recorder.batch`. */
  usedIn: number;
}

export interface BufferLimits {
  /** Largest buffer, and largest part of one that a kernel can see. */
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  /** The most bytes of all buffers together. */
  readonly memoryLimit: number;
}

/**
 * Buffers of a device. Those of activations are kept when they are released and given out again, the lowest number first, so
 * that equal steps get equal buffers, and with them the bind groups made before.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #limits: BufferLimits;
  readonly #statistics: WebgpuStatistics;
  readonly #free = new Map<number, Block[]>();
  #bytes = 0;
  #freeBytes = 0;
  #nextId = 1;

  constructor(device: GPUDevice, limits: BufferLimits, statistics: WebgpuStatistics) {
    this.#device = device;
    this.#limits = limits;
    this.#statistics = statistics;
  }

  /** Bytes in use: what `release` gave back does not count. */
  get usedBytes(): number {
    return this.#bytes - this.#freeBytes;
  }

  /** Bytes that one kernel can see at once. */
  get bindingLimit(): number {
    return Math.min(this.#limits.maxStorageBufferBindingSize, this.#limits.maxBufferSize);
  }

  /** A buffer with arbitrary content. @param trim frees what is kept; called where room is short. @throws KernelsError `OutOfMemory` */
  take(bytes: number, trim: () => void): Block {
    const size = sizeClass(bytes);
    const list = this.#free.get(size);
    if (list && list.length > 0) {
      let lowest = 0;
      for (let i = 1; i < list.length; i++) if (list[i]!.id < list[lowest]!.id) lowest = i;
      const [block] = list.splice(lowest, 1);
      this.#freeBytes -= size;
      return block!;
    }
    if (this.#bytes + size > this.#limits.memoryLimit) trim();
    return this.create(size > this.bindingLimit ? bytes : size, "activations");
  }

  /** Gives a buffer of `take` back; commands that name it may still wait. */
  release(block: Block): void {
    const list = this.#free.get(block.bytes);
    if (list) list.push(block);
    else this.#free.set(block.bytes, [block]);
    this.#freeBytes += block.bytes;
  }

  /** A buffer of zeros. @throws KernelsError `OutOfMemory` */
  create(bytes: number, what: string): Block {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    this.checkBinding(size, what);
    this.checkTotal(size);
    const { COPY_DST, COPY_SRC, INDIRECT, STORAGE } = bufferUsage;
    const usage = STORAGE | COPY_SRC | COPY_DST | INDIRECT;
    const buffer = this.#device.createBuffer({ size, usage, label: what });
    this.#bytes += size;
    this.#statistics.buffersCreated++;
    return { id: this.#nextId++, buffer, bytes: size, usedIn: 0 };
  }

  /** Frees a buffer of `create`; no waiting command may name it. */
  destroy(block: Block): void {
    block.buffer.destroy();
    this.#bytes -= block.bytes;
  }

  /** Frees the buffers that `release` kept; no waiting command may name one. */
  trim(): void {
    for (const list of this.#free.values()) for (const block of list) this.destroy(block);
    this.#free.clear();
    this.#freeBytes = 0;
  }

  /** @throws KernelsError `OutOfMemory` where no kernel could see all of so many bytes. */
  checkBinding(bytes: number, what: string): void {
    if (bytes <= this.bindingLimit) return;
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#limits;
    const [limit, value] =
      maxBufferSize < maxStorageBufferBindingSize
        ? ["maxBufferSize", maxBufferSize]
        : ["maxStorageBufferBindingSize", maxStorageBufferBindingSize];
    throw new KernelsError(
      "OutOfMemory",
      `${bytes} bytes of ${what} do not fit one buffer: this adapter's ${limit} is ${value} bytes.`,
      { needed: bytes, available: value, limit },
    );
  }

  /** @throws KernelsError `OutOfMemory` where so many bytes more are not to be had. */
  checkTotal(bytes: number): void {
    const available = this.#limits.memoryLimit - this.usedBytes;
    if (bytes <= available) return;
    throw new KernelsError(
      "OutOfMemory",
      `${bytes} bytes more are needed, ${available} of the device's memoryLimit are left.`,
      { needed: bytes, available, limit: "memoryLimit" },
    );
  }
}

/** The next of the sizes `4, 5, 6, 7 * 2^k`: few enough to be used again, wide enough apart to waste at most a quarter. */
export function sizeClass(bytes: number): number {
  const size = Math.max(256, bytes);
  const step = 2 ** (Math.floor(Math.log2(size)) - 2);
  return Math.ceil(size / step) * step;
}

/** `GPUBufferUsage`, which Node does not define by itself. */
export const bufferUsage = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  INDIRECT: 0x100,
  QUERY_RESOLVE: 0x200,
} as const;
