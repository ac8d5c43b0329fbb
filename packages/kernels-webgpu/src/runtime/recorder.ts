import { KernelsError } from "@transmla/kernels";
import { HOST } from "../wgsl/kernel";
import type { WebgpuStatistics } from "../webgpu-options";
import { Arena } from "./arena";
import type { Block } from "./buffer-pool";
import type { Program } from "./programs";

/** A number of workgroups, a grid of them, or a grid that the GPU itself has computed (three words at `offset`). */
export type Grid =
  | { readonly count: number }
  | { readonly grid: readonly [x: number, y: number, z: number] }
  | { readonly indirect: Block; readonly offset: number };

/** Commands of one batch before it is submitted without being asked. A decoding step of 200 layers stays below it. */
const MOST_COMMANDS = 8192;
const ARENA_BYTES = 1 << 20;
/** Bind groups that are kept. */
const MOST_BIND_GROUPS = 16_384;

/**
 * Collects commands into one batch, which is submitted when a result is wanted. Commands run in the order in which they are
 * recorded; what the host places (`integers`, `upload`) is seen by the commands recorded after it, up to the end of the batch.
 */
export class Recorder {
  readonly #device: GPUDevice;
  readonly #statistics: WebgpuStatistics;
  readonly #arena: Arena;
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #commands = 0;
  #batch = 1;

  constructor(device: GPUDevice, statistics: WebgpuStatistics) {
    this.#device = device;
    this.#statistics = statistics;
    this.#arena = new Arena(device, ARENA_BYTES);
  }

  /** Number of the batch that is being recorded. */
  get batch(): number {
    return this.#batch;
  }

  /** Makes sure that one operation's words fit the batch. To be called before the first `integers` of an operation. */
  prepare(words: number, pieces: number): void {
    // Parameters of the operation's own commands come on top.
    const bytes = 4 * words + 64 * 256;
    if (this.#commands >= MOST_COMMANDS || !this.#arena.hasRoom(bytes, pieces)) this.flush();
    if (!this.#arena.hasRoom(bytes, pieces)) {
      this.#arena.grow(bytes + pieces * 256);
      this.forget();
    }
  }

  /** Places whole numbers; returns the word of `host` where they start. See `prepare`. */
  integers(values: Int32Array | Uint32Array): number {
    return this.#arena.place(values) / 4;
  }

  /** Runs a program. `buffers` has the program's buffers but `host`, in their order, `params` its numbers in theirs. */
  run(program: Program, params: readonly number[], buffers: readonly Block[], grid: Grid): void {
    // What an operation has placed in `host` would be lost: it has made room for its commands before.
    const prepared = HOST in program.kernel.buffers;
    const full = this.#commands >= MOST_COMMANDS || !this.#arena.hasRoom(program.paramBytes, 1);
    if (full && !prepared) this.flush();
    const offset = this.#placeParams(program, params);
    const pass = this.#computePass();
    pass.setPipeline(program.pipeline);
    pass.setBindGroup(0, this.#bindGroup(program, buffers), [offset]);
    if ("indirect" in grid) {
      grid.indirect.usedIn = this.#batch;
      pass.dispatchWorkgroupsIndirect(grid.indirect.buffer, grid.offset);
    } else if ("grid" in grid) {
      pass.dispatchWorkgroups(...grid.grid);
    } else {
      pass.dispatchWorkgroups(...this.#folded(grid.count));
    }
    this.#commands++;
    this.#statistics.dispatches++;
  }

  /** Writes numbers to a buffer, in the order of commands. */
  upload(block: Block, values: Float32Array): void {
    if (values.byteLength > ARENA_BYTES / 16) {
      if (block.usedIn === this.#batch) this.flush();
      this.#device.queue.writeBuffer(block.buffer, 0, values as Float32Array<ArrayBuffer>);
      return;
    }
    this.prepare(values.length, 1);
    const at = this.#arena.place(values);
    this.#commandEncoder().copyBufferToBuffer(
      this.#arena.block.buffer,
      at,
      block.buffer,
      0,
      values.byteLength,
    );
    block.usedIn = this.#batch;
    this.#commands++;
  }

  copy(from: Block, to: GPUBuffer, bytes: number): void {
    this.#commandEncoder().copyBufferToBuffer(from.buffer, 0, to, 0, bytes);
    from.usedIn = this.#batch;
    this.#commands++;
  }

  /** Copies bytes from one block, beginning at `at`, to the beginning of another. */
  copyBlock(from: Block, at: number, to: Block, bytes: number): void {
    this.#commandEncoder().copyBufferToBuffer(from.buffer, at, to.buffer, 0, bytes);
    from.usedIn = to.usedIn = this.#batch;
    this.#commands++;
  }

  clear(block: Block, bytes: number): void {
    this.#commandEncoder().clearBuffer(block.buffer, 0, Math.ceil(bytes / 4) * 4);
    block.usedIn = this.#batch;
    this.#commands++;
  }

  /** Commands for which there is no method here. */
  encode(write: (encoder: GPUCommandEncoder) => void): void {
    write(this.#commandEncoder());
    this.#commands++;
  }

  /** Submits what was recorded. */
  flush(): void {
    if (!this.#encoder) return;
    this.#pass?.end();
    this.#arena.send();
    this.#device.queue.submit([this.#encoder.finish()]);
    this.#pass = undefined;
    this.#encoder = undefined;
    this.#commands = 0;
    this.#batch++;
    this.#statistics.submissions++;
  }

  /** Drops the bind groups; to be called when buffers are freed. */
  forget(): void {
    this.#bindGroups.clear();
  }

  #placeParams({ kernel, paramBytes }: Program, params: readonly number[]): number {
    const types = Object.values(kernel.params);
    if (types.length !== params.length) throw new Error(`${kernel.name}: wrong parameters`);
    const words = new Uint32Array(paramBytes / 4);
    const floats = new Float32Array(words.buffer);
    types.forEach((type, i) => {
      if (type === "f32") floats[i] = params[i]!;
      else words[i] = params[i]!;
    });
    return this.#arena.place(words);
  }

  #bindGroup(program: Program, buffers: readonly Block[]): GPUBindGroup {
    const blocks = HOST in program.kernel.buffers ? this.#withHost(program, buffers) : buffers;
    let key = `${program.id}`;
    for (const block of blocks) {
      key += `,${block.id}`;
      block.usedIn = this.#batch;
    }
    const known = this.#bindGroups.get(key);
    if (known) return known;
    if (this.#bindGroups.size >= MOST_BIND_GROUPS) this.forget();
    const { buffer } = this.#arena.block;
    const group = this.#device.createBindGroup({
      layout: program.layout,
      entries: [
        { binding: 0, resource: { buffer, size: program.paramBytes } },
        ...blocks.map((block, i) => ({ binding: i + 1, resource: { buffer: block.buffer } })),
      ],
    });
    this.#bindGroups.set(key, group);
    this.#statistics.bindGroupsCreated++;
    return group;
  }

  #withHost({ kernel }: Program, buffers: readonly Block[]): Block[] {
    const at = Object.keys(kernel.buffers).indexOf(HOST);
    return [...buffers.slice(0, at), this.#arena.block, ...buffers.slice(at)];
  }

  /** A count of workgroups as a grid, of which no side is longer than the adapter allows; the last row may be longer than needed. */
  #folded(count: number): [number, number] {
    const most = this.#device.limits.maxComputeWorkgroupsPerDimension;
    const rows = Math.ceil(count / most);
    if (rows > most) {
      throw new KernelsError("OutOfMemory", `${count} workgroups are more than ${most}².`, {
        needed: count,
        available: most * most,
      });
    }
    return [Math.ceil(count / rows), rows];
  }

  #computePass(): GPUComputePassEncoder {
    this.#pass ??= (this.#encoder ??= this.#device.createCommandEncoder()).beginComputePass();
    return this.#pass;
  }

  #commandEncoder(): GPUCommandEncoder {
    this.#pass?.end();
    this.#pass = undefined;
    return (this.#encoder ??= this.#device.createCommandEncoder());
  }
}
