import { KernelsError, type Shape } from "@transmla/kernels";
import { GPU, Input } from "gpu.js";
import { kernelSources, type KernelName } from "./kernels";
import type { GpujsMode, KernelFunction } from "./gpujs-options";

/** What gpu.js hands from kernel to kernel: a texture or buffer on the GPU, or rows in memory where there is none. */
export type Handle = { toArray?(): unknown; delete?(): void } | ArrayLike<number>[];

/** What a kernel can be given: a handle, or numbers from the host. */
export type KernelArgument = Handle | Float32Array;

interface GpuKernel {
  (...args: unknown[]): Promise<Handle>;
  setOutput(output: readonly [columns: number, rows: number]): unknown;
  readonly kernel?: { readonly constructor: { readonly mode?: string } };
}

/** A matrix on the GPU. It is there once the work that makes it has run. */
export interface Matrix {
  readonly shape: Shape;
  handle: Handle | undefined;
  /** Why there is none. */
  error: unknown;
}

const settings = {
  output: [1, 1],
  pipeline: true,
  immutable: true,
  dynamicOutput: true,
  dynamicArguments: true,
  asyncMode: true,
  precision: "single",
  // WebGL knows no loops without an end; this one is beyond any.
  loopMaxIterations: 2 ** 24,
} as const;

/**
 * Where one kernel can serve outputs of any shape. WebGL draws a smaller output into a part of the largest one so far, and finds its
 * places by interpolation, which is off by one here and there: it gets a kernel for every shape.
 */
const anyShape: ReadonlySet<string | undefined> = new Set(["webgpu", "webasm", "cpu"]);

/**
 * Kernels of one instance of gpu.js, and the work that is waiting for them. Kernel calls are asynchronous, operations of a device are not, so
 * operations queue up and run in program order.
 */
export class GpuQueue {
  readonly #gpu: GPU;
  /** By source, and where one serves one shape only by that. */
  readonly #kernels = new Map<string, GpuKernel>();
  #backend: string | undefined;
  #last: Promise<void> = Promise.resolve();

  /** @throws KernelsError `UnsupportedPlatform` for a mode that is not to be had here */
  constructor(mode: GpujsMode) {
    try {
      this.#gpu = new GPU({ mode });
    } catch (cause) {
      const message = `gpu.js has no mode "${mode}" here: ${(cause as Error).message}`;
      throw new KernelsError("UnsupportedPlatform", message, { mode }, { cause });
    }
  }

  /** Runs after everything before it. What it throws is told by `settled` of this call alone. */
  enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    // A failed piece of work must not stop those behind it.
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** A matrix that `compute` makes in its turn. An error is kept with it, and passes on to what is made from it. */
  make(shape: Shape, compute: () => Promise<Handle>): Matrix {
    const matrix: Matrix = { shape, handle: undefined, error: undefined };
    void this.enqueue(async () => {
      try {
        matrix.handle = await compute();
      } catch (error) {
        matrix.error = error;
      }
    });
    return matrix;
  }

  /** Frees a matrix after the work before. */
  free(matrix: Matrix): void {
    void this.enqueue(async () => {
      discard(matrix.handle);
      matrix.handle = undefined;
    });
  }

  /** Runs a kernel; only from within queued work. */
  async run(
    kernel: KernelName | KernelFunction,
    [rows, columns]: Shape,
    args: readonly KernelArgument[],
  ): Promise<Handle> {
    const made = this.#kernel(kernel, [rows, columns]);
    made.setOutput([columns, rows]);
    const handle = await made(...args);
    this.#backend ??= made.kernel?.constructor.mode;
    return handle;
  }

  /** Brings numbers to the GPU; only from within queued work. */
  upload(values: Float32Array, shape: Shape): Promise<Handle> {
    const [rows, columns] = shape;
    return this.run("copy", shape, [
      new Input(values as unknown as number[], [columns, rows]) as unknown as Handle,
    ]);
  }

  /** What the kernels run on, known once one has run: `webgpu`, `webgl2`, `webasm`, … */
  get backend(): string | undefined {
    return this.#backend;
  }

  async destroy(): Promise<void> {
    await this.#last;
    await this.#gpu.destroy();
  }

  #kernel(kernel: KernelName | KernelFunction, shape: Shape): GpuKernel {
    const source = typeof kernel === "string" ? kernelSources[kernel] : kernel.toString();
    const key = anyShape.has(this.#backend) ? source : `${shape.join(" ")} ${source}`;
    const known = this.#kernels.get(key);
    if (known) return known;
    const made = this.#gpu.createKernel(source, settings as object) as unknown as GpuKernel;
    this.#kernels.set(key, made);
    return made;
  }
}

/** The handle of a matrix that has been made. @throws KernelsError `DeviceFailure`, what went wrong when it was made */
export function handleOf(matrix: Matrix): Handle {
  if (matrix.handle) return matrix.handle;
  throw failure(matrix.error);
}

export function failure(cause: unknown): KernelsError {
  if (KernelsError.isInstance(cause)) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new KernelsError("DeviceFailure", `gpu.js reported: ${message}`, {}, { cause });
}

export function discard(handle: Handle | undefined): void {
  if (handle && "delete" in handle) handle.delete?.();
}

/** Copies a handle to the host, rows one after the other. */
export async function toHost(
  handle: Handle,
  [rows, columns]: Shape,
  values: Float32Array = new Float32Array(rows * columns),
): Promise<Float32Array> {
  const lines = (
    "toArray" in handle && handle.toArray ? await handle.toArray() : handle
  ) as ArrayLike<number>[];
  for (let row = 0; row < rows; row++) values.set(lines[row]!, row * columns);
  return values;
}
