import type {
  Activation,
  GroupedAttention,
  LatentAttention,
  MixtureOfExperts,
  PageLayout,
  PagePool,
  RopeTable,
  Shape,
  Tensor,
  Weight,
  WeightStorage,
} from "../device";
import { decodeStoredRow, encodeStoredRow, roundRow, rowScale } from "../cache-storage";
import { KernelsError } from "../errors";
import { makePagePool, makeTensor, makeWeight, Registry, ScopeStack } from "../resources";
import { decodeRows } from "../storage";
import {
  checkAdd,
  checkCopyPages,
  checkEmbedding,
  checkGatedActivation,
  checkGatherRows,
  checkGroupedAttention,
  checkLatentAttention,
  checkLinear,
  checkMixtureOfExperts,
  checkPageLayout,
  checkRead,
  checkReadPages,
  checkRmsNorm,
  checkRope,
  checkSoftCap,
  checkShape,
  checkTensor,
  checkWeight,
  checkWritePages,
  checkWriteRows,
  checkWriteStoredPages,
} from "../validate";
import type { TrainingDevice } from "../training-device";
import { groupedAttention, latentAttention, type Plane } from "./attention";
import { activate, matmul, mixtureOfExperts } from "./feed-forward";
import { ReferenceTraining } from "./training";

/**
 * The device that defines the results: plain TypeScript, float32 storage, float64 sums, no optimisation. Weights are
 * widened to float32 when written.
 */
export function referenceDevice(): TrainingDevice {
  return new ReferenceDevice();
}

/** A page pool: rounded numbers, and the scale of every row of signed bytes. */
interface CachedRows {
  readonly values: Float32Array;
  readonly scales: Float32Array;
}

class ReferenceDevice implements TrainingDevice {
  readonly name = "reference";
  readonly training = new ReferenceTraining({
    numbers: (tensor) => this.#tensors.get(tensor),
    result: (values, shape) => this.#result(values, shape),
  });
  readonly #tensors = new Registry<Tensor, Float32Array>();
  readonly #weights = new Registry<Weight, Float32Array>();
  readonly #pools = new Registry<PagePool, CachedRows>();
  readonly #scopes = new ScopeStack((tensor) => this.#tensors.release(tensor));

  // Memory

  tensor(values: Float32Array, shape: Shape): Tensor {
    checkTensor(values, shape);
    return this.#result(values.slice(), shape);
  }

  weight(shape: Shape, storage: WeightStorage): Weight {
    checkWeight(shape, storage);
    return this.#weights.add(makeWeight(shape, storage), zeros(shape[0] * shape[1]));
  }

  writeRows(weight: Weight, first: number, bytes: Uint8Array): void {
    checkWriteRows(weight, first, bytes);
    const columns = weight.shape[1];
    this.#weights.get(weight).set(decodeRows(bytes, weight.storage, columns), first * columns);
  }

  pagePool(layout: PageLayout): PagePool {
    checkPageLayout(layout);
    const { pages, pageTokens, width } = layout;
    const rows = pages * pageTokens;
    const cached = { values: zeros(rows * width), scales: zeros(rows) };
    return this.#pools.add(makePagePool(layout), cached);
  }

  /** The engine's own heap: its room is not known. */
  checkRoom(): void {}

  async read(tensor: Tensor, into?: Float32Array): Promise<Float32Array> {
    const stored = this.#tensors.get(tensor);
    const values = checkRead(tensor, into);
    values.set(stored);
    return values;
  }

  scope<Result extends Tensor | readonly Tensor[] | void>(body: () => Result): Result {
    return this.#scopes.run(body);
  }

  release(resource: Tensor | Weight | PagePool): void {
    if (resource.kind === "weight") this.#weights.release(resource);
    else if (resource.kind === "page-pool") this.#pools.release(resource);
    else {
      this.#tensors.release(resource);
      this.#scopes.forget(resource);
    }
  }

  destroy(): void {
    for (const registry of [this.#tensors, this.#weights, this.#pools]) registry.destroy();
  }

  // Operations

  embedding(table: Weight, ids: Int32Array, factor = 1): Tensor {
    checkEmbedding(table, ids, factor);
    const columns = table.shape[1];
    const rows = takeRows(this.#weights.get(table), columns, ids);
    return this.#result(
      rows.map((value) => factor * value),
      [ids.length, columns],
    );
  }

  linear(x: Tensor, weight: Weight, bias?: Tensor): Tensor {
    checkLinear(x, weight, bias);
    const [outputs, inputs] = weight.shape;
    const tokens = x.shape[0];
    const b = bias && this.#tensors.get(bias);
    const y = matmul(this.#tensors.get(x), this.#weights.get(weight), tokens, outputs, inputs);
    if (b) y.forEach((value, i) => (y[i] = value + b[i % outputs]!));
    return this.#result(y, [tokens, outputs]);
  }

  add(a: Tensor, b: Tensor): Tensor {
    checkAdd(a, b);
    const addend = this.#tensors.get(b);
    return this.#result(
      this.#tensors.get(a).map((value, i) => value + addend[i]!),
      a.shape,
    );
  }

  gatherRows(x: Tensor, rows: Int32Array): Tensor {
    checkGatherRows(x, rows);
    const columns = x.shape[1];
    return this.#result(takeRows(this.#tensors.get(x), columns, rows), [rows.length, columns]);
  }

  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
    checkRmsNorm(x, weight, epsilon);
    const w = this.#tensors.get(weight);
    const y = this.#tensors.get(x).slice();
    for (let start = 0; start < y.length; start += w.length) {
      const group = y.subarray(start, start + w.length);
      const meanSquare = group.reduce((sum, value) => sum + value * value, 0) / w.length;
      group.forEach((value, i) => (group[i] = (value / Math.sqrt(meanSquare + epsilon)) * w[i]!));
    }
    return this.#result(y, x.shape);
  }

  gatedActivation(gate: Tensor, up: Tensor, activation: Activation): Tensor {
    checkGatedActivation(gate, up, activation);
    const factor = this.#tensors.get(up);
    return this.#result(
      this.#tensors.get(gate).map((value, i) => activate(value, activation) * factor[i]!),
      gate.shape,
    );
  }

  rope(x: Tensor, table: RopeTable, positions: Int32Array): Tensor {
    checkRope(x, table, positions);
    const [tokens, columns] = x.shape;
    const half = table.cos.shape[1];
    const cos = this.#tensors.get(table.cos);
    const sin = this.#tensors.get(table.sin);
    const input = this.#tensors.get(x);
    const y = new Float32Array(input.length);
    for (let t = 0; t < tokens; t++) {
      for (let head = 0; head < columns; head += 2 * half) {
        for (let f = 0; f < half; f++) {
          const re = t * columns + head + f;
          const im = re + half;
          const c = cos[positions[t]! * half + f]!;
          const s = sin[positions[t]! * half + f]!;
          y[re] = input[re]! * c - input[im]! * s;
          y[im] = input[re]! * s + input[im]! * c;
        }
      }
    }
    return this.#result(y, x.shape);
  }

  writePages(pool: PagePool, rows: Tensor, slots: Int32Array): void {
    checkWritePages(pool, rows, slots);
    const { width } = pool;
    const cached = this.#pools.get(pool);
    const values = this.#tensors.get(rows);
    slots.forEach((slot, t) => {
      const row = values.subarray(t * width, (t + 1) * width);
      cached.values.set(roundRow(row, pool.storage), slot * width);
      cached.scales[slot] = rowScale(row);
    });
  }

  readPages(pool: PagePool, slots: Int32Array): Tensor {
    checkReadPages(pool, slots);
    const { width } = pool;
    const { values } = this.#pools.get(pool);
    return this.#result(takeRows(values, width, slots), [slots.length, width]);
  }

  copyPages(pool: PagePool, from: Int32Array, to: Int32Array): void {
    checkCopyPages(pool, from, to);
    const { width } = pool;
    const { values, scales } = this.#pools.get(pool);
    from.forEach((source, i) => {
      values.copyWithin(to[i]! * width, source * width, (source + 1) * width);
      scales[to[i]!] = scales[source]!;
    });
  }

  async readStoredPages(pool: PagePool, slots: Int32Array): Promise<Uint8Array> {
    checkReadPages(pool, slots);
    const { width, storage } = pool;
    const { values, scales } = this.#pools.get(pool);
    const rows = Array.from(slots, (slot) => {
      const row = values.subarray(slot * width, (slot + 1) * width);
      return encodeStoredRow(row, storage, scales[slot]!);
    });
    const bytes = new Uint8Array(rows.length * rows[0]!.length);
    rows.forEach((row, i) => bytes.set(row, i * row.length));
    return bytes;
  }

  writeStoredPages(pool: PagePool, slots: Int32Array, bytes: Uint8Array): void {
    checkWriteStoredPages(pool, slots, bytes);
    const { values, scales } = this.#pools.get(pool);
    const rowBytes = bytes.length / slots.length;
    slots.forEach((slot, i) => {
      const stored = bytes.subarray(i * rowBytes, (i + 1) * rowBytes);
      values.set(decodeStoredRow(stored, pool.storage), slot * pool.width);
      if (pool.storage === "i8") {
        scales[slot] = new DataView(stored.buffer, stored.byteOffset).getFloat32(0, true);
      }
    });
  }

  groupedAttention(input: GroupedAttention): Tensor {
    const sizes = checkGroupedAttention(input);
    const output = groupedAttention(
      input,
      sizes,
      this.#tensors.get(input.query),
      this.#plane(input.keys),
      this.#plane(input.values),
    );
    return this.#result(output, [sizes.tokens, input.heads * sizes.valueDim]);
  }

  latentAttention(input: LatentAttention): Tensor {
    const sizes = checkLatentAttention(input);
    const { queryNope, queryRope, latents, ropeKeys, keyUp, valueUp } = input;
    const output = latentAttention(input, sizes, {
      queryNope: queryNope && this.#tensors.get(queryNope),
      queryRope: queryRope && this.#tensors.get(queryRope),
      latents: this.#plane(latents),
      ropeKeys: ropeKeys && this.#plane(ropeKeys),
      keyUp: keyUp && this.#weights.get(keyUp),
      valueUp: valueUp && this.#weights.get(valueUp),
    });
    return this.#result(output, [sizes.tokens, input.heads * sizes.valueDim]);
  }

  mixtureOfExperts(input: MixtureOfExperts): Tensor {
    const { ff } = checkMixtureOfExperts(input);
    const experts = input.experts.map(({ gate, up, down }) => ({
      gate: this.#weights.get(gate),
      up: this.#weights.get(up),
      down: this.#weights.get(down),
    }));
    const x = this.#tensors.get(input.x);
    const logits = this.#tensors.get(input.routerLogits);
    return this.#result(mixtureOfExperts(input, ff, x, logits, experts), input.x.shape);
  }

  softCap(x: Tensor, cap: number): Tensor {
    checkSoftCap(cap);
    return this.#result(
      this.#tensors.get(x).map((value) => cap * Math.tanh(value / cap)),
      x.shape,
    );
  }

  argmax(x: Tensor): Tensor {
    const [rows, columns] = x.shape;
    const values = this.#tensors.get(x);
    const largest = new Float32Array(rows);
    for (let t = 0; t < rows; t++) {
      const row = values.subarray(t * columns, (t + 1) * columns);
      for (let i = 1; i < columns; i++) if (row[i]! > row[largest[t]!]!) largest[t] = i;
    }
    return this.#result(largest, [rows, 1]);
  }

  #result(values: Float32Array, shape: Shape): Tensor {
    checkShape(shape);
    const tensor = this.#tensors.add(makeTensor(shape), values);
    this.#scopes.made(tensor);
    return tensor;
  }

  #plane(pool: PagePool): Plane {
    const { values } = this.#pools.get(pool);
    return { values, width: pool.width, pageTokens: pool.pageTokens };
  }
}

/** Throws `OutOfMemory` where the engine would throw a `RangeError`. */
function zeros(count: number): Float32Array {
  try {
    return new Float32Array(count);
  } catch (cause) {
    const message = `Cannot allocate ${count} numbers.`;
    throw new KernelsError("OutOfMemory", message, { count }, { cause });
  }
}

/** `y[t] = values[rows[t]]` for rows of `columns` numbers. */
function takeRows(values: Float32Array, columns: number, rows: Int32Array): Float32Array {
  const y = new Float32Array(rows.length * columns);
  rows.forEach((row, t) => y.set(values.subarray(row * columns, (row + 1) * columns), t * columns));
  return y;
}
