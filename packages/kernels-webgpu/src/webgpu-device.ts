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
import { poolBytes } from "./formats/cache-formats";
import { checkRoom } from "./memory-needs";
import { GpuTraining, type GpuTrainingMemory } from "./gpu-training";
import { openGpu } from "./open-gpu";
import type { Plane } from "./operations/attention/attend";
import { groupedAttention } from "./operations/attention/grouped";
import { latentAttention } from "./operations/attention/latent";
import { mixtureOfExperts } from "./operations/experts";
import { multiply } from "./operations/linear";
import {
  copyPages,
  readPages,
  readStoredPages,
  writePages,
  writeStoredPages,
} from "./operations/pages";
import { add, gatedActivation, softCap } from "./operations/pointwise";
import { argmax, embedding, gatherRows, rmsNorm, rope } from "./operations/rows";
import { createWeight, writeWeightRows, type GpuWeight } from "./operations/weights";
import type { Block } from "./runtime/buffer-pool";
import type { Gpu } from "./runtime/gpu";
import { readBlock } from "./runtime/read-back";
import { gpuSeconds } from "./runtime/gpu-seconds";
import type { WebgpuDevice, WebgpuDeviceOptions, WebgpuStatistics } from "./webgpu-options";

const { Registry, ScopeStack, makePagePool, makeTensor, makeWeight, ...check } = deviceKit;

/**
 * A device that runs on WebGPU: in browsers, and in Node with the package `webgpu` (Dawn). Weights stay as they are stored and are
 * widened as they are multiplied; all arithmetic is float32. Operations are collected into one batch of commands, which is submitted
 * by `read`, so a step of decoding is one submission.
 *
 * The GPU reports errors late: one that nobody could foresee is thrown by the next `read`. After `DeviceLost` make a new device and
 * load the model again.
 *
 * Throws `UnsupportedPlatform` without WebGPU or an adapter, `InvalidArgument` for limits that are not positive.
 */
export async function webgpuDevice(options: WebgpuDeviceOptions = {}): Promise<WebgpuDevice> {
  const { memoryLimit = 2 ** 38 } = options;
  check.checkMemoryLimit(memoryLimit);
  check.checkLimits(options.limits);
  const { gpu, adapter } = await openGpu({ ...options, memoryLimit });
  return new GpuDevice(gpu, adapter);
}

class GpuDevice implements WebgpuDevice {
  readonly name = "webgpu";
  readonly training = new GpuTraining(this.#trainingMemory());
  readonly subgroupSize: number | undefined;
  readonly #tensors = new Registry<Tensor, Block>();
  readonly #weights = new Registry<Weight, GpuWeight>();
  readonly #pools = new Registry<PagePool, Block>();
  readonly #scopes = new ScopeStack((tensor) => this.#free(tensor));
  #live: Gpu | undefined;

  constructor(
    gpu: Gpu,
    readonly adapter: string,
  ) {
    this.#live = gpu;
    this.subgroupSize = gpu.subgroupSize;
  }

  get statistics(): Readonly<WebgpuStatistics> {
    return this.#gpu.statistics;
  }

  get usedBytes(): number {
    return this.#gpu.pool.usedBytes;
  }

  // Memory

  tensor(values: Float32Array, shape: Shape): Tensor {
    check.checkTensor(values, shape);
    return this.#result(shape, (y) => this.#gpu.recorder.upload(y, values));
  }

  weight(shape: Shape, storage: WeightStorage): Weight {
    check.checkWeight(shape, storage);
    return this.#weights.add(makeWeight(shape, storage), createWeight(this.#gpu, shape, storage));
  }

  writeRows(weight: Weight, first: number, bytes: Uint8Array): void {
    const rows = check.checkWriteRows(weight, first, bytes);
    writeWeightRows(this.#gpu, this.#weights.get(weight), first, rows, bytes);
  }

  pagePool(layout: PageLayout): PagePool {
    check.checkPageLayout(layout);
    const block = this.#gpu.pool.create(poolBytes(layout), "a page pool");
    return this.#pools.add(makePagePool(layout), block);
  }

  checkRoom(needs: MemoryNeeds): void {
    checkRoom(this.#gpu.pool, needs);
  }

  async read(tensor: Tensor, into?: Float32Array): Promise<Float32Array> {
    const block = this.#tensors.get(tensor);
    return readBlock(this.#gpu, block, check.checkRead(tensor, into));
  }

  scope<Result extends Tensor | readonly Tensor[] | void>(body: () => Result): Result {
    return this.#scopes.run(body);
  }

  release(resource: Tensor | Weight | PagePool): void {
    if (resource.kind === "weight") {
      for (const { block } of this.#weights.release(resource).parts) this.#gpu.destroy(block);
    } else if (resource.kind === "page-pool") {
      this.#gpu.destroy(this.#pools.release(resource));
    } else {
      this.#free(resource);
      this.#scopes.forget(resource);
    }
  }

  destroy(): void {
    for (const registry of [this.#tensors, this.#weights, this.#pools]) registry.destroy();
    this.#live?.device.destroy();
    this.#live = undefined;
  }

  gpuSeconds(body: () => void): Promise<number | undefined> {
    return gpuSeconds(this.#gpu, body);
  }

  // Operations

  embedding(table: Weight, ids: Int32Array, factor = 1): Tensor {
    check.checkEmbedding(table, ids, factor);
    const weight = this.#weights.get(table);
    return this.#result([ids.length, table.shape[1]], (y) =>
      embedding(this.#gpu, weight, ids, factor, y),
    );
  }

  linear(x: Tensor, weight: Weight, bias?: Tensor): Tensor {
    check.checkLinear(x, weight, bias);
    const rows = x.shape[0];
    const product = {
      x: this.#tensors.get(x),
      rows,
      weight: this.#weights.get(weight),
      bias: bias && this.#tensors.get(bias),
    };
    return this.#result([rows, weight.shape[0]], (y) => multiply(this.#gpu, { ...product, y }));
  }

  add(a: Tensor, b: Tensor): Tensor {
    check.checkAdd(a, b);
    const [left, right] = [this.#tensors.get(a), this.#tensors.get(b)];
    return this.#result(a.shape, (y) => add(this.#gpu, left, right, y, numbersOf(a)));
  }

  gatherRows(x: Tensor, rows: Int32Array): Tensor {
    check.checkGatherRows(x, rows);
    const from = this.#tensors.get(x);
    const columns = x.shape[1];
    return this.#result([rows.length, columns], (y) =>
      gatherRows(this.#gpu, from, columns, rows, y),
    );
  }

  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
    check.checkRmsNorm(x, weight, epsilon);
    const [from, factors] = [this.#tensors.get(x), this.#tensors.get(weight)];
    const width = weight.shape[1];
    const size = { width, groups: numbersOf(x) / width };
    return this.#result(x.shape, (y) => rmsNorm(this.#gpu, from, factors, epsilon, y, size));
  }

  gatedActivation(gate: Tensor, up: Tensor, activation: Activation): Tensor {
    check.checkGatedActivation(gate, up, activation);
    const [gates, factors] = [this.#tensors.get(gate), this.#tensors.get(up)];
    return this.#result(gate.shape, (y) =>
      gatedActivation(this.#gpu, gates, factors, activation, y, numbersOf(gate)),
    );
  }

  rope(x: Tensor, table: RopeTable, positions: Int32Array): Tensor {
    check.checkRope(x, table, positions);
    const from = this.#tensors.get(x);
    const angles = { cos: this.#tensors.get(table.cos), sin: this.#tensors.get(table.sin) };
    const size = { columns: x.shape[1], half: table.cos.shape[1] };
    return this.#result(x.shape, (y) => rope(this.#gpu, from, angles, positions, y, size));
  }

  writePages(pool: PagePool, rows: Tensor, slots: Int32Array): void {
    check.checkWritePages(pool, rows, slots);
    const plane = this.#pools.get(pool);
    writePages(this.#gpu, pool, plane, this.#tensors.get(rows), slots);
  }

  readPages(pool: PagePool, slots: Int32Array): Tensor {
    check.checkReadPages(pool, slots);
    const plane = this.#pools.get(pool);
    return this.#result([slots.length, pool.width], (y) =>
      readPages(this.#gpu, pool, plane, slots, y),
    );
  }

  copyPages(pool: PagePool, from: Int32Array, to: Int32Array): void {
    check.checkCopyPages(pool, from, to);
    copyPages(this.#gpu, pool, this.#pools.get(pool), from, to);
  }

  async readStoredPages(pool: PagePool, slots: Int32Array): Promise<Uint8Array> {
    check.checkReadPages(pool, slots);
    return readStoredPages(this.#gpu, pool, this.#pools.get(pool), slots);
  }

  writeStoredPages(pool: PagePool, slots: Int32Array, bytes: Uint8Array): void {
    check.checkWriteStoredPages(pool, slots, bytes);
    writeStoredPages(this.#gpu, pool, this.#pools.get(pool), slots, bytes);
  }

  groupedAttention(input: GroupedAttention): Tensor {
    const sizes = check.checkGroupedAttention(input);
    const query = this.#tensors.get(input.query);
    const planes = { keys: this.#plane(input.keys), values: this.#plane(input.values) };
    return this.#result([sizes.tokens, input.heads * sizes.valueDim], (y) =>
      groupedAttention(this.#gpu, input, sizes, query, planes, y),
    );
  }

  latentAttention(input: LatentAttention): Tensor {
    const sizes = check.checkLatentAttention(input);
    const { queryNope, queryRope, latents, ropeKeys, keyUp, valueUp } = input;
    const blocks = {
      queryNope: queryNope && this.#tensors.get(queryNope),
      queryRope: queryRope && this.#tensors.get(queryRope),
      latents: this.#plane(latents),
      ropeKeys: ropeKeys && this.#plane(ropeKeys),
      keyUp: keyUp && this.#weights.get(keyUp),
      valueUp: valueUp && this.#weights.get(valueUp),
    };
    return this.#result([sizes.tokens, input.heads * sizes.valueDim], (y) =>
      latentAttention({ gpu: this.#gpu, input, sizes, blocks, y }),
    );
  }

  mixtureOfExperts(input: MixtureOfExperts): Tensor {
    const { ff } = check.checkMixtureOfExperts(input);
    const experts = input.experts.map(({ gate, up, down }) => ({
      gate: this.#weights.get(gate),
      up: this.#weights.get(up),
      down: this.#weights.get(down),
    }));
    const blocks = {
      x: this.#tensors.get(input.x),
      routerLogits: this.#tensors.get(input.routerLogits),
    };
    return this.#result(input.x.shape, (y) =>
      mixtureOfExperts(this.#gpu, input, ff, blocks, experts, y),
    );
  }

  softCap(x: Tensor, cap: number): Tensor {
    check.checkSoftCap(cap);
    const from = this.#tensors.get(x);
    return this.#result(x.shape, (y) => softCap(this.#gpu, from, cap, y, numbersOf(x)));
  }

  argmax(x: Tensor): Tensor {
    const from = this.#tensors.get(x);
    const [rows, columns] = x.shape;
    return this.#result([rows, 1], (y) => argmax(this.#gpu, from, rows, columns, y));
  }

  get #gpu(): Gpu {
    if (!this.#live) throw new KernelsError("Released", "This WebGPU device was destroyed.");
    this.#live.failures.throwIfLost();
    return this.#live;
  }

  #plane(pool: PagePool): Plane & { readonly kind: "pool" } {
    const { storage, width, pages, pageTokens } = pool;
    const block = this.#pools.get(pool);
    return { kind: "pool", block, storage, width, rows: pages * pageTokens, pageTokens };
  }

  /** A new tensor that `compute` fills. */
  #result(shape: Shape, compute: (to: Block) => void): Tensor {
    return this.#results([shape], ([to]) => compute(to!))[0]!;
  }

  /** New tensors that `compute` fills together. */
  #results(shapes: readonly Shape[], compute: (to: readonly Block[]) => void): Tensor[] {
    const gpu = this.#gpu;
    const blocks: Block[] = [];
    try {
      for (const [rows, columns] of shapes) blocks.push(gpu.take(4 * rows * columns));
      compute(blocks);
    } catch (error) {
      for (const block of blocks) gpu.pool.release(block);
      throw error;
    }
    return shapes.map((shape, i) => {
      const tensor = this.#tensors.add(makeTensor(shape), blocks[i]!);
      this.#scopes.made(tensor);
      return tensor;
    });
  }

  #trainingMemory(): GpuTrainingMemory {
    const gpu = () => this.#gpu;
    return {
      get gpu() {
        return gpu();
      },
      block: (tensor) => this.#tensors.get(tensor),
      results: (shapes, compute) => this.#results(shapes, compute),
    };
  }

  #free(tensor: Tensor): void {
    const block = this.#tensors.release(tensor);
    this.#live?.pool.release(block);
  }
}

function numbersOf({ shape }: Tensor): number {
  return shape[0] * shape[1];
}
