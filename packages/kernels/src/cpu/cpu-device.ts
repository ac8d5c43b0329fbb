import type {
  Activation,
  GroupedAttention,
  LatentAttention,
  MemoryNeeds,
  MixtureOfExperts,
  PageLayout,
  PagePool,
  RopeTable,
  Shape,
  Tensor,
  Weight,
  WeightStorage,
} from "../device";
import { storedRowBytes } from "../cache-storage";
import { KernelsError } from "../errors";
import { makePagePool, makeTensor, makeWeight, Registry, ScopeStack } from "../resources";
import {
  checkAdd,
  checkCopyPages,
  checkEmbedding,
  checkGatedActivation,
  checkGatherRows,
  checkGroupedAttention,
  checkLatentAttention,
  checkLimits,
  checkLinear,
  checkMemoryLimit,
  checkMixtureOfExperts,
  checkPageLayout,
  checkRead,
  checkReadPages,
  checkRmsNorm,
  checkRope,
  checkSoftCap,
  checkTensor,
  checkThreads,
  checkWeight,
  checkWritePages,
  checkWriteRows,
  checkWriteStoredPages,
} from "../validate";
import {
  cachePlane,
  cacheRowBytes,
  floatPlane,
  readRows,
  writeRows,
  type CachePlane,
} from "./cache-rows";
import type { CpuDevice, CpuDeviceOptions } from "./cpu-options";
import { mixtureOfExperts } from "./experts";
import { groupedAttention } from "./grouped-attention";
import type { Call, Pointer } from "./kernels";
import { latentAttention } from "./latent-attention";
import { MOST_BYTES } from "./memory";
import { cpuMemoryBytes } from "./memory-needs";
import type { SimdBuild } from "./module";
import { multiply } from "./multiply";
import { PackedWeight } from "./packed-weight";
import { add, gatedActivation, rmsNorm, rope, scale, softCap } from "./pointwise";
import { createRuntime, placeIntegers, type Runtime } from "./runtime";
import { CpuTraining, type CpuTrainingMemory } from "./training";

/**
 * A device that runs on the CPU with WebAssembly SIMD, in Node and browsers. Arithmetic has the precision of float32, and
 * weights stay as wide in memory as they arrive (see `WeightStorage`). Operations run when they are called, on all
 * threads, and the results are the same from run to run at a fixed number of threads.
 *
 * Threads need shared memory: in a browser a cross-origin isolated page. Where there is none the device runs on the
 * calling thread alone and `threadsReason` says why. Threads sleep while nothing is computed, do not keep a process alive,
 * and end with `destroy`.
 *
 * Throws `UnsupportedPlatform` without WebAssembly SIMD (or without the build that `simd` demands), `InvalidArgument` for
 * a `memoryLimit` below 1 MiB, for `threads` out of range and for `limits` that are not positive.
 */
export async function cpuDevice(options: CpuDeviceOptions = {}): Promise<CpuDevice> {
  const { memoryLimit = MOST_BYTES, threads = 1, simd = "auto", limits, wideVectors } = options;
  checkMemoryLimit(memoryLimit);
  checkThreads(threads);
  checkLimits(limits);
  return new WasmDevice(
    await createRuntime({ limit: memoryLimit, threads, simd, limits, wideVectors }),
  );
}

class WasmDevice implements CpuDevice {
  readonly name = "cpu";
  readonly threads: number;
  readonly threadsReason: string | undefined;
  readonly simd: SimdBuild;
  readonly training = new CpuTraining(this.#trainingMemory());
  readonly #tensors = new Registry<Tensor, Pointer>();
  readonly #weights = new Registry<Weight, PackedWeight>();
  readonly #pools = new Registry<PagePool, CachePlane>();
  readonly #scopes = new ScopeStack((tensor) => this.#free(tensor));
  #live: Runtime | undefined;

  constructor(runtime: Runtime) {
    this.#live = runtime;
    this.threads = runtime.threads;
    this.threadsReason = runtime.threadsReason;
    this.simd = runtime.simd;
  }

  // Memory

  tensor(values: Float32Array, shape: Shape): Tensor {
    checkTensor(values, shape);
    return this.#result(shape, (y) => this.#runtime.memory.view(y, values.length).set(values));
  }

  weight(shape: Shape, storage: WeightStorage): Weight {
    checkWeight(shape, storage);
    return this.#weights.add(
      makeWeight(shape, storage),
      new PackedWeight(this.#runtime, shape, storage),
    );
  }

  writeRows(weight: Weight, first: number, bytes: Uint8Array): void {
    const rows = checkWriteRows(weight, first, bytes);
    this.#weights.get(weight).writeRows(first, rows, bytes);
  }

  pagePool(layout: PageLayout): PagePool {
    checkPageLayout(layout);
    const pool = makePagePool(layout);
    const { pages, pageTokens, width, storage } = pool;
    const bytes = pages * pageTokens * cacheRowBytes(storage, width);
    return this.#pools.add(pool, cachePlane(this.#runtime.memory.allocateZeros(bytes), pool));
  }

  checkRoom(needs: MemoryNeeds): void {
    this.#runtime.memory.checkRoom(cpuMemoryBytes(needs));
  }

  async read(tensor: Tensor, into?: Float32Array): Promise<Float32Array> {
    const pointer = this.#tensors.get(tensor);
    const values = checkRead(tensor, into);
    values.set(this.#runtime.memory.view(pointer, values.length));
    return values;
  }

  scope<Result extends Tensor | readonly Tensor[] | void>(body: () => Result): Result {
    return this.#scopes.run(body);
  }

  release(resource: Tensor | Weight | PagePool): void {
    if (resource.kind === "weight") this.#weights.release(resource).free();
    else if (resource.kind === "page-pool") {
      this.#runtime.memory.free(this.#pools.release(resource).pointer);
    } else {
      this.#free(resource);
      this.#scopes.forget(resource);
    }
  }

  destroy(): void {
    for (const registry of [this.#tensors, this.#weights, this.#pools]) registry.destroy();
    this.#live?.destroy();
    this.#live = undefined;
  }

  // Operations

  embedding(table: Weight, ids: Int32Array, factor = 1): Tensor {
    checkEmbedding(table, ids, factor);
    const { pointer, storage, inputs } = this.#weights.get(table);
    return this.#result([ids.length, inputs], (y) => {
      const row = (id: number, t: number): Call => {
        return ["unpackRow", pointer, storage, inputs, id, y + 4 * t * inputs];
      };
      this.#runtime.run(Array.from(ids, row));
      if (factor !== 1) scale(this.#runtime, y, factor, ids.length * inputs);
    });
  }

  linear(x: Tensor, weight: Weight, bias?: Tensor): Tensor {
    checkLinear(x, weight, bias);
    const panels = this.#weights.get(weight);
    const rows = { pointer: this.#tensors.get(x), tokens: x.shape[0] };
    const b = bias && this.#tensors.get(bias);
    return this.#result([rows.tokens, panels.outputs], (y) =>
      multiply(this.#runtime, panels, rows, { pointer: y }, b),
    );
  }

  add(a: Tensor, b: Tensor): Tensor {
    checkAdd(a, b);
    const left = this.#tensors.get(a);
    const right = this.#tensors.get(b);
    return this.#result(a.shape, (y) => {
      add(this.#runtime, y, left, right, a.shape[0] * a.shape[1]);
    });
  }

  gatherRows(x: Tensor, rows: Int32Array): Tensor {
    checkGatherRows(x, rows);
    const columns = x.shape[1];
    const plane = floatPlane(this.#tensors.get(x), columns);
    return this.#result([rows.length, columns], (y) => readRows(this.#runtime, plane, rows, y));
  }

  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
    checkRmsNorm(x, weight, epsilon);
    const width = weight.shape[1];
    const groups = (x.shape[0] * x.shape[1]) / width;
    const from = this.#tensors.get(x);
    const w = this.#tensors.get(weight);
    return this.#result(x.shape, (y) => {
      rmsNorm(this.#runtime, [y, from, w], groups, width, epsilon);
    });
  }

  gatedActivation(gate: Tensor, up: Tensor, activation: Activation): Tensor {
    checkGatedActivation(gate, up, activation);
    const g = this.#tensors.get(gate);
    const u = this.#tensors.get(up);
    const count = gate.shape[0] * gate.shape[1];
    return this.#result(gate.shape, (y) => {
      gatedActivation(this.#runtime, y, g, u, count, activation === "gelu-tanh");
    });
  }

  rope(x: Tensor, table: RopeTable, positions: Int32Array): Tensor {
    checkRope(x, table, positions);
    const [tokens, columns] = x.shape;
    const half = table.cos.shape[1];
    const from = this.#tensors.get(x);
    const cos = this.#tensors.get(table.cos);
    const sin = this.#tensors.get(table.sin);
    return this.#result(x.shape, (y) => {
      const runtime = this.#runtime;
      runtime.memory.temporarily((allocate) => {
        const at = placeIntegers(runtime.memory, allocate(4 * tokens), positions);
        rope(runtime, [y, from, cos, sin, at], tokens, columns / (2 * half), half);
      });
    });
  }

  writePages(pool: PagePool, rows: Tensor, slots: Int32Array): void {
    checkWritePages(pool, rows, slots);
    const plane = this.#pools.get(pool);
    writeRows(this.#runtime, plane, this.#tensors.get(rows), slots);
  }

  readPages(pool: PagePool, slots: Int32Array): Tensor {
    checkReadPages(pool, slots);
    const plane = this.#pools.get(pool);
    return this.#result([slots.length, pool.width], (y) =>
      readRows(this.#runtime, plane, slots, y),
    );
  }

  copyPages(pool: PagePool, from: Int32Array, to: Int32Array): void {
    checkCopyPages(pool, from, to);
    const { pointer, rowBytes } = this.#pools.get(pool);
    const { bytes } = this.#runtime.memory;
    from.forEach((source, i) => {
      const at = pointer + source * rowBytes;
      bytes.copyWithin(pointer + to[i]! * rowBytes, at, at + rowBytes);
    });
  }

  async readStoredPages(pool: PagePool, slots: Int32Array): Promise<Uint8Array> {
    checkReadPages(pool, slots);
    const { pointer, rowBytes } = this.#pools.get(pool);
    const stored = storedRowBytes(pool.storage, pool.width);
    const { bytes } = this.#runtime.memory;
    const rows = new Uint8Array(slots.length * stored);
    slots.forEach((slot, i) => {
      const at = pointer + slot * rowBytes;
      rows.set(bytes.subarray(at, at + stored), i * stored);
    });
    return rows;
  }

  writeStoredPages(pool: PagePool, slots: Int32Array, bytes: Uint8Array): void {
    checkWriteStoredPages(pool, slots, bytes);
    const { pointer, rowBytes } = this.#pools.get(pool);
    const stored = storedRowBytes(pool.storage, pool.width);
    slots.forEach((slot, i) => {
      const row = bytes.subarray(i * stored, (i + 1) * stored);
      this.#runtime.memory.bytes.set(row, pointer + slot * rowBytes);
    });
  }

  groupedAttention(input: GroupedAttention): Tensor {
    const sizes = checkGroupedAttention(input);
    const pointers = {
      query: this.#tensors.get(input.query),
      keys: this.#pools.get(input.keys),
      values: this.#pools.get(input.values),
    };
    return this.#result([sizes.tokens, input.heads * sizes.valueDim], (to) =>
      groupedAttention(this.#runtime, input, sizes, pointers, to),
    );
  }

  latentAttention(input: LatentAttention): Tensor {
    const sizes = checkLatentAttention(input);
    const { queryNope, queryRope, latents, ropeKeys, keyUp, valueUp } = input;
    const pointers = {
      queryNope: queryNope ? this.#tensors.get(queryNope) : 0,
      queryRope: queryRope ? this.#tensors.get(queryRope) : 0,
      latents: this.#pools.get(latents),
      ropeKeys: ropeKeys && this.#pools.get(ropeKeys),
      keyUp: keyUp && this.#weights.get(keyUp),
      valueUp: valueUp && this.#weights.get(valueUp),
    };
    return this.#result([sizes.tokens, input.heads * sizes.valueDim], (to) =>
      latentAttention({ runtime: this.#runtime, input, sizes, pointers, to }),
    );
  }

  mixtureOfExperts(input: MixtureOfExperts): Tensor {
    const { ff } = checkMixtureOfExperts(input);
    const experts = input.experts.map(({ gate, up, down }) => ({
      gate: this.#weights.get(gate),
      up: this.#weights.get(up),
      down: this.#weights.get(down),
    }));
    const pointers = {
      x: this.#tensors.get(input.x),
      routerLogits: this.#tensors.get(input.routerLogits),
    };
    return this.#result(input.x.shape, (to) =>
      mixtureOfExperts(this.#runtime, input, ff, pointers, experts, to),
    );
  }

  softCap(x: Tensor, cap: number): Tensor {
    checkSoftCap(cap);
    const from = this.#tensors.get(x);
    return this.#result(x.shape, (y) => {
      softCap(this.#runtime, y, from, cap, x.shape[0] * x.shape[1]);
    });
  }

  argmax(x: Tensor): Tensor {
    const from = this.#tensors.get(x);
    const [rows, columns] = x.shape;
    return this.#result([rows, 1], (y) => this.#runtime.run([["argmax", y, from, rows, columns]]));
  }

  get #runtime(): Runtime {
    if (!this.#live) throw new KernelsError("Released", "This CPU device was destroyed.");
    return this.#live;
  }

  /** A new tensor that `compute` fills. */
  #result(shape: Shape, compute: (to: Pointer) => void): Tensor {
    return this.#results([shape], ([to]) => compute(to!))[0]!;
  }

  /** New tensors that `compute` fills together. */
  #results(shapes: readonly Shape[], compute: (to: readonly Pointer[]) => void): Tensor[] {
    const { memory } = this.#runtime;
    const pointers: Pointer[] = [];
    try {
      for (const [rows, columns] of shapes) pointers.push(memory.allocate(4 * rows * columns));
      compute(pointers);
    } catch (error) {
      for (const pointer of pointers) memory.free(pointer);
      throw error;
    }
    return shapes.map((shape, i) => {
      const tensor = this.#tensors.add(makeTensor(shape), pointers[i]!);
      this.#scopes.made(tensor);
      return tensor;
    });
  }

  #trainingMemory(): CpuTrainingMemory {
    const runtime = () => this.#runtime;
    return {
      get runtime() {
        return runtime();
      },
      pointer: (tensor) => this.#tensors.get(tensor),
      results: (shapes, compute) => this.#results(shapes, compute),
    };
  }

  #free(tensor: Tensor): void {
    this.#runtime.memory.free(this.#tensors.release(tensor));
  }
}
