import {
  deviceKit,
  KernelsError,
  type Activation,
  type GroupedAttention,
  type LatentAttention,
  type MemoryNeeds,
  type MixtureOfExperts,
  type PageLayout,
  type PagePool,
  type RopeTable,
  type Shape,
  type Tensor,
  type Weight,
  type WeightStorage,
} from "@transmla/kernels";
import { groupedAttention, latentAttention } from "./attention";
import { mixtureOfExperts } from "./experts";
import { failure, GpuQueue, handleOf, toHost, type Handle, type Matrix } from "./gpu-queue";
import type { CustomKernel, GpujsDevice, GpujsDeviceOptions } from "./gpujs-options";
import type { KernelName } from "./kernels";
import { PoolStorage } from "./pool-storage";
import { Storage } from "./storage";

const { Registry, ScopeStack, makePagePool, makeTensor, makeWeight, ...check } = deviceKit;

/**
 * A device on gpu.js: WebGPU, WebGL2, WebAssembly or plain JavaScript, whatever it finds. Tensors stay on the GPU from operation to
 * operation. Everything is float32 there: weights are widened when they arrive, and rows of caches narrower than that are rounded on
 * the host when they are written. It is the device for trying operations of one's own (`run`); `@transmla/kernels-webgpu` is the one for speed.
 *
 * Throws `UnsupportedPlatform` for a mode that is not to be had, `InvalidArgument` for a `memoryLimit` below 1 MiB.
 */
export async function gpujsDevice(options: GpujsDeviceOptions = {}): Promise<GpujsDevice> {
  const { mode = "async", memoryLimit = 2 ** 36 } = options;
  check.checkMemoryLimit(memoryLimit);
  return new QueuedDevice(new GpuQueue(mode), memoryLimit);
}

class QueuedDevice implements GpujsDevice {
  readonly name = "gpujs";
  readonly #tensors = new Registry<Tensor, Matrix>();
  readonly #weights = new Registry<Weight, Storage>();
  readonly #pools = new Registry<PagePool, PoolStorage>();
  readonly #scopes = new ScopeStack((tensor) => this.#free(this.#tensors.release(tensor)));
  readonly #memoryLimit: number;
  #usedBytes = 0;
  #live: GpuQueue | undefined;

  constructor(queue: GpuQueue, memoryLimit: number) {
    this.#live = queue;
    this.#memoryLimit = memoryLimit;
  }

  get backend(): string | undefined {
    return this.#queue.backend;
  }

  // Memory

  tensor(values: Float32Array, shape: Shape): Tensor {
    check.checkTensor(values, shape);
    const copy = values.slice();
    return this.#result(shape, () => this.#queue.upload(copy, shape));
  }

  weight(shape: Shape, storage: WeightStorage): Weight {
    check.checkWeight(shape, storage);
    const queue = this.#queue;
    this.#reserve(shape);
    return this.#weights.add(makeWeight(shape, storage), new Storage(queue, shape));
  }

  writeRows(weight: Weight, first: number, bytes: Uint8Array): void {
    check.checkWriteRows(weight, first, bytes);
    const rows = check.decodeRows(bytes, weight.storage, weight.shape[1]);
    this.#weights.get(weight).writeRows(first, rows);
  }

  pagePool(layout: PageLayout): PagePool {
    check.checkPageLayout(layout);
    const queue = this.#queue;
    const shape = [layout.pages * layout.pageTokens, layout.width] as const;
    this.#reserve(shape);
    const pool = makePagePool(layout);
    return this.#pools.add(pool, new PoolStorage(queue, shape, pool.storage));
  }

  checkRoom({ weights = [], tensors = [], pools = [] }: MemoryNeeds): void {
    const shapes = [
      ...weights.map(({ shape }) => shape),
      ...tensors,
      ...pools.map(({ pages, pageTokens, width }) => [pages * pageTokens, width] as const),
    ];
    this.#checkBytes(shapes.reduce((sum, shape) => sum + bytesOf(shape), 0));
  }

  async read(tensor: Tensor, into?: Float32Array): Promise<Float32Array> {
    const matrix = this.#tensors.get(tensor);
    const values = check.checkRead(tensor, into);
    return this.#inTurn(async () => toHost(handleOf(matrix), tensor.shape, values));
  }

  scope<Result extends Tensor | readonly Tensor[] | void>(body: () => Result): Result {
    return this.#scopes.run(body);
  }

  release(resource: Tensor | Weight | PagePool): void {
    if (resource.kind === "tensor") {
      this.#free(this.#tensors.release(resource));
      this.#scopes.forget(resource);
    } else {
      const storage =
        resource.kind === "weight"
          ? this.#weights.release(resource)
          : this.#pools.release(resource);
      this.#usedBytes -= bytesOf(storage.shape);
      storage.free();
    }
  }

  destroy(): void {
    for (const registry of [this.#tensors, this.#weights, this.#pools]) registry.destroy();
    void this.#live?.destroy();
    this.#live = undefined;
  }

  // Operations

  run(
    kernel: CustomKernel,
    args: readonly (Tensor | Float32Array | Int32Array | number)[],
    shape: Shape,
  ): Tensor {
    check.checkShape(shape);
    if (args.length === 0) {
      throw new KernelsError("ShapeMismatch", `Kernel "${kernel.name}" needs an argument.`);
    }
    const given = args.map((value) => {
      if (typeof value === "number") return Float32Array.of(value);
      if (value instanceof Float32Array || value instanceof Int32Array)
        return Float32Array.from(value);
      return this.#tensors.get(value);
    });
    return this.#result(shape, () =>
      this.#queue.run(
        kernel.compute,
        shape,
        given.map((value) => (value instanceof Float32Array ? value : handleOf(value))),
      ),
    );
  }

  embedding(table: Weight, ids: Int32Array, factor = 1): Tensor {
    check.checkEmbedding(table, ids, factor);
    const weight = this.#weights.get(table);
    return this.#result([ids.length, table.shape[1]], async () =>
      this.#queue.run(
        "scaledPick",
        [ids.length, table.shape[1]],
        [await weight.handle(), Float32Array.from(ids), Float32Array.of(factor)],
      ),
    );
  }

  linear(x: Tensor, weight: Weight, bias?: Tensor): Tensor {
    check.checkLinear(x, weight, bias);
    const [from, factor] = [this.#tensors.get(x), this.#weights.get(weight)];
    const shift = bias && this.#tensors.get(bias);
    const shape = [x.shape[0], weight.shape[0]] as const;
    return this.#result(shape, async () => {
      const inputs = Float32Array.of(weight.shape[1]);
      const args = [handleOf(from), await factor.handle(), inputs];
      const product = await this.#queue.run("linear", shape, args);
      if (!shift) return product;
      const y = await this.#queue.run("addRow", shape, [product, handleOf(shift)]);
      if ("delete" in product) product.delete?.();
      return y;
    });
  }

  add(a: Tensor, b: Tensor): Tensor {
    check.checkAdd(a, b);
    return this.#kernel("add", a.shape, [a, b]);
  }

  gatherRows(x: Tensor, rows: Int32Array): Tensor {
    check.checkGatherRows(x, rows);
    return this.#kernel("pick", [rows.length, x.shape[1]], [x], [rows]);
  }

  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
    check.checkRmsNorm(x, weight, epsilon);
    const width = weight.shape[1];
    const groups = [x.shape[0], x.shape[1] / width] as const;
    return this.scope(() => {
      const squares = this.#kernel("meanSquares", groups, [x], [[width]]);
      return this.#kernel("normed", x.shape, [x, squares, weight], [[width, epsilon]]);
    });
  }

  gatedActivation(gate: Tensor, up: Tensor, activation: Activation): Tensor {
    check.checkGatedActivation(gate, up, activation);
    return this.#kernel(activation, gate.shape, [gate, up]);
  }

  rope(x: Tensor, table: RopeTable, positions: Int32Array): Tensor {
    check.checkRope(x, table, positions);
    const numbers = [positions, [table.cos.shape[1]]];
    return this.#kernel("rope", x.shape, [x, table.cos, table.sin], numbers);
  }

  softCap(x: Tensor, cap: number): Tensor {
    check.checkSoftCap(cap);
    return this.#kernel("cap", x.shape, [x], [[cap]]);
  }

  argmax(x: Tensor): Tensor {
    return this.#kernel("argmax", [x.shape[0], 1], [x], [[x.shape[1]]]);
  }

  writePages(pool: PagePool, rows: Tensor, slots: Int32Array): void {
    check.checkWritePages(pool, rows, slots);
    this.#pools.get(pool).write(this.#tensors.get(rows), slots);
  }

  copyPages(pool: PagePool, from: Int32Array, to: Int32Array): void {
    check.checkCopyPages(pool, from, to);
    this.#pools.get(pool).copy(from, to);
  }

  async readStoredPages(pool: PagePool, slots: Int32Array): Promise<Uint8Array> {
    check.checkReadPages(pool, slots);
    const plane = this.#pools.get(pool);
    return this.#inTurn(() => plane.readStored(slots));
  }

  writeStoredPages(pool: PagePool, slots: Int32Array, bytes: Uint8Array): void {
    check.checkWriteStoredPages(pool, slots, bytes);
    this.#pools.get(pool).writeStored(slots, bytes.slice());
  }

  readPages(pool: PagePool, slots: Int32Array): Tensor {
    check.checkReadPages(pool, slots);
    const plane = this.#pools.get(pool);
    const shape = [slots.length, pool.width] as const;
    const rows = Float32Array.from(slots);
    return this.#result(shape, async () =>
      this.#queue.run("pick", shape, [await plane.handle(), rows]),
    );
  }

  groupedAttention(input: GroupedAttention): Tensor {
    const sizes = check.checkGroupedAttention(input);
    const query = this.#tensors.get(input.query);
    const [keys, values] = [this.#pools.get(input.keys), this.#pools.get(input.values)];
    return this.#result([sizes.tokens, input.heads * sizes.valueDim], async () =>
      groupedAttention(this.#queue, input, sizes, {
        query: handleOf(query),
        keys: await keys.handle(),
        values: await values.handle(),
      }),
    );
  }

  latentAttention(input: LatentAttention): Tensor {
    const sizes = check.checkLatentAttention(input);
    const { queryNope, queryRope, keyUp, valueUp } = input;
    const nope = queryNope && this.#tensors.get(queryNope);
    const rope = queryRope && this.#tensors.get(queryRope);
    const latents = this.#pools.get(input.latents);
    const ropeKeys = input.ropeKeys && this.#pools.get(input.ropeKeys);
    const [keys, values] = [keyUp, valueUp].map((up) => up && this.#weights.get(up));
    return this.#result([sizes.tokens, input.heads * sizes.valueDim], async () =>
      latentAttention(this.#queue, input, sizes, {
        queryNope: nope && handleOf(nope),
        queryRope: rope && handleOf(rope),
        latents: await latents.handle(),
        ropeKeys: await ropeKeys?.handle(),
        keyUp: await keys?.handle(),
        valueUp: await values?.handle(),
      }),
    );
  }

  mixtureOfExperts(input: MixtureOfExperts): Tensor {
    const { ff } = check.checkMixtureOfExperts(input);
    const experts = input.experts.map(({ gate, up, down }) =>
      [gate, up, down].map((weight) => this.#weights.get(weight)),
    );
    const [x, routerLogits] = [this.#tensors.get(input.x), this.#tensors.get(input.routerLogits)];
    return this.#result(input.x.shape, async () => {
      const weights = [];
      for (const [gate, up, down] of experts) {
        weights.push({
          gate: await gate!.handle(),
          up: await up!.handle(),
          down: await down!.handle(),
        });
      }
      const handles = { x: handleOf(x), routerLogits: handleOf(routerLogits) };
      return mixtureOfExperts(this.#queue, input, ff, handles, weights);
    });
  }

  get #queue(): GpuQueue {
    if (!this.#live) throw new KernelsError("Released", "This gpu.js device was destroyed.");
    return this.#live;
  }

  /** What `get` brings to the host after everything that was enqueued before. */
  async #inTurn<Value>(get: () => Promise<Value>): Promise<Value> {
    let value: Value | undefined;
    try {
      await this.#queue.enqueue(async () => {
        value = await get();
      });
    } catch (error) {
      throw failure(error);
    }
    return value!;
  }

  /** A kernel that takes tensors and lists of numbers. */
  #kernel(
    name: KernelName,
    shape: Shape,
    tensors: readonly Tensor[],
    numbers: readonly ArrayLike<number>[] = [],
  ): Tensor {
    const matrices = tensors.map((tensor) => this.#tensors.get(tensor));
    const lists = numbers.map((list) => Float32Array.from(list));
    return this.#result(shape, () =>
      this.#queue.run(name, shape, [...matrices.map(handleOf), ...lists]),
    );
  }

  #result(shape: Shape, compute: () => Promise<Handle>): Tensor {
    const queue = this.#queue;
    this.#reserve(shape);
    const tensor = this.#tensors.add(makeTensor(shape), queue.make(shape, compute));
    this.#scopes.made(tensor);
    return tensor;
  }

  #free(matrix: Matrix): void {
    this.#usedBytes -= bytesOf(matrix.shape);
    this.#live?.free(matrix);
  }

  #reserve(shape: Shape): void {
    const bytes = bytesOf(shape);
    this.#checkBytes(bytes);
    this.#usedBytes += bytes;
  }

  #checkBytes(bytes: number): void {
    const available = this.#memoryLimit - this.#usedBytes;
    if (bytes <= available) return;
    throw new KernelsError(
      "OutOfMemory",
      `${bytes} bytes more are needed, ${available} of the device's memoryLimit are left.`,
      { needed: bytes, available, limit: "memoryLimit" },
    );
  }
}

function bytesOf([rows, columns]: Shape): number {
  return 4 * rows * columns;
}
