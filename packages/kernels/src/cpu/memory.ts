import { KernelsError } from "../errors";

/** Of WebAssembly. */
const PAGE = 65_536;
/** Every block starts on a cache line and takes whole ones. */
export const ALIGNMENT = 64;
/** Address 0 means "none", and the module's own constants come first. */
const FIRST = 4096;
/** Kernels may read this far beyond the end of a block. */
const SLACK = 64;
/** Addresses have 32 bits. */
export const MOST_BYTES = 2 ** 32;
/** Growing in large steps keeps the number of new views small. */
const GROWTH = 2 ** 24;

interface Block {
  start: number;
  bytes: number;
}

/**
 * Best-fit allocation over the linear memory of a WebAssembly module. Free blocks are kept in the order of their
 * addresses and merged with their neighbours; memory grows when none is large enough and never shrinks.
 */
export class Memory {
  readonly buffer: WebAssembly.Memory;
  readonly #limit: number;
  readonly #free: Block[] = [];
  readonly #used = new Map<number, number>();
  #end = FIRST;
  #floats: Float32Array;
  #integers: Int32Array;
  #bytes: Uint8Array;

  /**
   * @param limit in bytes; rounded down to 64 KiB, at most 4 GiB.
   * @param shared whether threads share it. Its whole extent is then reserved as addresses, so a system that refuses
   *   so many gets a smaller limit.
   */
  constructor(limit: number, shared = false) {
    const { buffer, pages } = reserve(Math.floor(Math.min(limit, MOST_BYTES) / PAGE), shared);
    this.buffer = buffer;
    this.#limit = pages * PAGE;
    this.#floats = new Float32Array(this.buffer.buffer);
    this.#integers = new Int32Array(this.buffer.buffer);
    this.#bytes = new Uint8Array(this.buffer.buffer);
  }

  /** The memory as numbers, valid until the next allocation. */
  get floats(): Float32Array {
    if (this.#floats.buffer !== this.buffer.buffer) {
      this.#floats = new Float32Array(this.buffer.buffer);
    }
    return this.#floats;
  }

  /** The memory as whole numbers, valid until the next allocation. */
  get integers(): Int32Array {
    if (this.#integers.buffer !== this.buffer.buffer) {
      this.#integers = new Int32Array(this.buffer.buffer);
    }
    return this.#integers;
  }

  /** The memory as bytes, valid until the next allocation. */
  get bytes(): Uint8Array {
    if (this.#bytes.buffer !== this.buffer.buffer) this.#bytes = new Uint8Array(this.buffer.buffer);
    return this.#bytes;
  }

  /** `count` numbers at `pointer`, valid until the next allocation. */
  view(pointer: number, count: number): Float32Array {
    return this.floats.subarray(pointer / 4, pointer / 4 + count);
  }

  /** Bytes of blocks that could still be had, were they small. */
  get available(): number {
    let free = this.#limit - this.#end - SLACK;
    for (const block of this.#free) free += block.bytes;
    return Math.max(0, free);
  }

  /** Throws `OutOfMemory` if `bytes` more cannot be had. */
  checkRoom(bytes: number): void {
    const { available } = this;
    if (bytes <= available) return;
    throw new KernelsError(
      "OutOfMemory",
      `This needs ${megabytes(bytes)} of memory on the CPU device, which has ${megabytes(available)} left of at most ` +
        `${megabytes(this.#limit)}${this.#limit === MOST_BYTES ? " (the most that WebAssembly addresses with 32 bits)" : ""}.`,
      { needed: bytes, available, limit: this.#limit },
    );
  }

  /** Address of a new block of undefined content. Throws `OutOfMemory`, without any effect. */
  allocate(bytes: number): number {
    const needed = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    const start = this.#takeFree(needed) ?? this.#takeNew(needed);
    this.#used.set(start, needed);
    return start;
  }

  /** Address of a new block of zeros. Throws `OutOfMemory`. */
  allocateZeros(bytes: number): number {
    const pointer = this.allocate(bytes);
    this.bytes.fill(0, pointer, pointer + bytes);
    return pointer;
  }

  free(pointer: number): void {
    const bytes = this.#used.get(pointer);
    if (bytes === undefined) return;
    this.#used.delete(pointer);
    this.#insert(pointer, bytes);
  }

  /** Runs `body` with an allocator whose blocks are freed afterwards. */
  temporarily<Result>(body: (allocate: (bytes: number) => number) => Result): Result {
    const pointers: number[] = [];
    try {
      return body((bytes) => {
        const pointer = this.allocate(bytes);
        pointers.push(pointer);
        return pointer;
      });
    } finally {
      for (const pointer of pointers) this.free(pointer);
    }
  }

  #takeFree(bytes: number): number | undefined {
    let best = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const size = this.#free[i]!.bytes;
      if (size >= bytes && (best < 0 || size < this.#free[best]!.bytes)) best = i;
      if (size === bytes) break;
    }
    if (best < 0) return undefined;
    const block = this.#free[best]!;
    const { start } = block;
    block.start += bytes;
    block.bytes -= bytes;
    if (block.bytes === 0) this.#free.splice(best, 1);
    return start;
  }

  /** Takes from beyond all blocks, a free one at the end included. */
  #takeNew(bytes: number): number {
    const last = this.#free.at(-1);
    const start = last && last.start + last.bytes === this.#end ? last.start : this.#end;
    this.#reach(start + bytes + SLACK, bytes);
    if (start !== this.#end) this.#free.pop();
    this.#end = start + bytes;
    return start;
  }

  #reach(end: number, bytes: number): void {
    const size = this.buffer.buffer.byteLength;
    if (end <= size) return;
    const refuse = (cause?: unknown) => {
      throw new KernelsError(
        "OutOfMemory",
        `The CPU device cannot allocate ${bytes} more bytes: it holds ${this.#end} of at most ${this.#limit}.`,
        { bytes, held: this.#end, limit: this.#limit },
        { cause },
      );
    };
    if (end > this.#limit) refuse();
    const wanted = Math.min(this.#limit, Math.max(end, size + GROWTH));
    try {
      this.buffer.grow(Math.ceil((wanted - size) / PAGE));
    } catch (cause) {
      refuse(cause);
    }
  }

  #insert(start: number, bytes: number): void {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#free[middle]!.start < start) low = middle + 1;
      else high = middle;
    }
    const before = this.#free[low - 1];
    const after = this.#free[low];
    const joinsBefore = before !== undefined && before.start + before.bytes === start;
    const joinsAfter = after !== undefined && start + bytes === after.start;
    if (joinsBefore) {
      before.bytes += bytes + (joinsAfter ? after.bytes : 0);
      if (joinsAfter) this.#free.splice(low, 1);
    } else if (joinsAfter) {
      after.start = start;
      after.bytes += bytes;
    } else {
      this.#free.splice(low, 0, { start, bytes });
    }
  }
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** A memory that can grow to `pages`, or if it is shared and they cannot be reserved, to half of them or a quarter … */
function reserve(pages: number, shared: boolean): { buffer: WebAssembly.Memory; pages: number } {
  for (let maximum = pages; ; maximum = Math.floor(maximum / 2)) {
    try {
      return { buffer: new WebAssembly.Memory({ initial: 1, maximum, shared }), pages: maximum };
    } catch (error) {
      if (!shared || maximum < 2) throw error;
    }
  }
}
