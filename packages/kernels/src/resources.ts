import type { PageLayout, PagePool, Shape, Tensor, Weight, WeightStorage } from "./device";
import { cacheStorageOf } from "./cache-storage";
import { KernelsError } from "./errors";

/** The handles a device gives out carry shapes only; the device finds its own data of them in a `Registry`. */
export const makeTensor = (shape: Shape): Tensor =>
  Object.freeze({ kind: "tensor", shape: Object.freeze([shape[0], shape[1]] as const) });

/** See `makeTensor`. */
export const makeWeight = (shape: Shape, storage: WeightStorage): Weight =>
  Object.freeze({ kind: "weight", shape: Object.freeze([shape[0], shape[1]] as const), storage });

/** See `makeTensor`. */
export const makePagePool = (layout: PageLayout): PagePool => {
  const { pages, pageTokens, width } = layout;
  const storage = cacheStorageOf(layout);
  return Object.freeze({ kind: "page-pool", pages, pageTokens, width, storage });
};

/** What a device keeps for each of its live handles of one kind. */
export class Registry<Handle extends Tensor | Weight | PagePool, Data> {
  readonly #data = new WeakMap<Handle, Data | "released">();
  #destroyed = false;

  /** Throws `Released` after `destroy`. */
  add(handle: Handle, data: Data): Handle {
    this.#throwIfDestroyed(handle.kind);
    this.#data.set(handle, data);
    return handle;
  }

  /** Throws `Released` or `ForeignResource`. */
  get(handle: Handle): Data {
    this.#throwIfDestroyed(handle.kind);
    const data = this.#data.get(handle);
    if (data === undefined) {
      throw new KernelsError("ForeignResource", `This ${handle.kind} belongs to another device.`);
    }
    if (data === "released") {
      throw new KernelsError(
        "Released",
        `This ${handle.kind} was released. Return it from the scope that made it to keep it.`,
      );
    }
    return data;
  }

  /** Forgets the handle and returns its data for freeing. Throws `Released` or `ForeignResource`. */
  release(handle: Handle): Data {
    const data = this.get(handle);
    this.#data.set(handle, "released");
    return data;
  }

  /** From now on every handle is refused with `Released`. */
  destroy(): void {
    this.#destroyed = true;
  }

  #throwIfDestroyed(kind: string): void {
    if (this.#destroyed) {
      throw new KernelsError("Released", `The device of this ${kind} was destroyed.`);
    }
  }
}

/** The nesting of `Device.scope`: remembers the tensors made in each open scope. */
export class ScopeStack {
  readonly #open: Set<Tensor>[] = [];
  readonly #release: (tensor: Tensor) => void;

  /** @param release frees one tensor; called for no tensor twice, and never for one that was `forgotten`. */
  constructor(release: (tensor: Tensor) => void) {
    this.#release = release;
  }

  /** A tensor was made: it belongs to the innermost open scope. */
  made(tensor: Tensor): void {
    this.#open.at(-1)?.add(tensor);
  }

  /** A tensor was released by hand. */
  forget(tensor: Tensor): void {
    for (const scope of this.#open) scope.delete(tensor);
  }

  /** Implements `Device.scope`. Throws `InvalidArgument` if `body` returns anything but tensors. */
  run<Result extends Tensor | readonly Tensor[] | void>(body: () => Result): Result {
    const scope = new Set<Tensor>();
    const depth = this.#open.push(scope);
    let kept: readonly Tensor[] = [];
    try {
      const result = body();
      kept = tensorsOf(result);
      return result;
    } finally {
      this.#open.length = depth - 1;
      for (const tensor of kept) {
        if (scope.delete(tensor)) this.made(tensor);
      }
      for (const tensor of scope) this.#release(tensor);
    }
  }
}

function tensorsOf(result: Tensor | readonly Tensor[] | void): readonly Tensor[] {
  if (result === undefined) return [];
  if (Array.isArray(result)) return result as readonly Tensor[];
  const single = result as Tensor;
  if (single.kind !== "tensor") {
    throw new KernelsError(
      "InvalidArgument",
      "The body of a scope must be synchronous and return a tensor, an array of tensors or nothing.",
    );
  }
  return [single];
}
