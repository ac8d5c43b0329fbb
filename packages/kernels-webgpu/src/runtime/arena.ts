import { bufferUsage, type Block } from "./buffer-pool";

/**
 * What the host says to one batch of commands: parameters, indices, page tables and small tensors, collected in memory and written to the
 * GPU with one call when the batch is submitted. Commands see it as a uniform (parameters) and as words (everything else).
 */
export class Arena {
  readonly #device: GPUDevice;
  readonly #alignment: number;
  #block: Block;
  #bytes: ArrayBuffer;
  #words: Uint32Array;
  #used = 0;
  #generation = 0;

  constructor(device: GPUDevice, bytes: number) {
    this.#device = device;
    this.#alignment = device.limits.minUniformBufferOffsetAlignment;
    this.#bytes = new ArrayBuffer(bytes);
    this.#words = new Uint32Array(this.#bytes);
    this.#block = this.#create(bytes);
  }

  get block(): Block {
    return this.#block;
  }

  get empty(): boolean {
    return this.#used === 0;
  }

  /** Whether so many bytes more, in so many pieces, fit. Where they do not, the batch is to be submitted first. */
  hasRoom(bytes: number, pieces: number): boolean {
    return this.#used + bytes + pieces * this.#alignment <= this.#bytes.byteLength;
  }

  /** Makes an empty arena large enough. Whoever holds the old block must ask for the new one. */
  grow(bytes: number): void {
    this.#block.buffer.destroy();
    const size = 2 ** Math.ceil(Math.log2(bytes + 64 * this.#alignment));
    this.#bytes = new ArrayBuffer(size);
    this.#words = new Uint32Array(this.#bytes);
    this.#block = this.#create(size);
  }

  /** Reserves aligned bytes; returns where they start. */
  reserve(bytes: number): number {
    const at = this.#used;
    this.#used = Math.ceil((at + bytes) / this.#alignment) * this.#alignment;
    return at;
  }

  /** Copies numbers of 32 bits in; returns the byte where they start. */
  place(values: Int32Array | Uint32Array | Float32Array): number {
    const at = this.reserve(values.byteLength);
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
    this.#words.set(words, at / 4);
    return at;
  }

  /** Writes what was placed to the GPU and starts anew. */
  send(): void {
    if (this.#used > 0) {
      const size = Math.min(this.#used, this.#bytes.byteLength);
      this.#device.queue.writeBuffer(this.#block.buffer, 0, this.#bytes, 0, size);
    }
    this.#used = 0;
  }

  #create(size: number): Block {
    const { COPY_DST, COPY_SRC, STORAGE, UNIFORM } = bufferUsage;
    const usage = STORAGE | UNIFORM | COPY_DST | COPY_SRC;
    const buffer = this.#device.createBuffer({ size, usage, label: "arena" });
    // Negative, so that it is none of the pool's.
    return { id: --this.#generation, buffer, bytes: size, usedIn: 0 };
  }
}
