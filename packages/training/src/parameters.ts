import type { Shape, Tensor, TrainingDevice } from "@transmla/kernels";
import { modelTensors, type ModelFiles } from "@transmla/models";
import { TrainingError } from "./errors";
import { uniform } from "./random";
import type { Variable } from "./tape";

/** How parameters take part in the forward pass: as they are, or rounded to bfloat16 with float32 masters behind them. */
export type ParameterStorage = "f32" | "bf16";

/** Which parameters are trained. */
export type ParameterPattern = keyof typeof patterns | RegExp;

/** Patterns by name. `adapters` trains none of the model's own parameters but low-rank matrices beside them. */
export const patterns = {
  all: /^/,
  attention: /\.self_attn\./,
  "up-projections": /\.self_attn\.(k_b_proj|v_b_proj|q_b_proj)\./,
  adapters: /\.lora_[ab]$/,
} as const satisfies Readonly<Record<string, RegExp>>;

/** Rank and factor of low-rank adapters (Hu et al., arXiv 2106.09685): `W' = W + (alpha / rank) B A`. */
export interface AdapterOptions {
  readonly rank: number;
  /** Default: twice the rank. */
  readonly alpha?: number | undefined;
  /** Matrices that get adapters. Default: all of the layers. */
  readonly matrices?: RegExp | undefined;
}

/** A tensor of the model, or one factor of an adapter, on the device in float32. */
export class Parameter implements Variable {
  gradient: Tensor | undefined;
  #rounded: Tensor | undefined;

  constructor(
    readonly device: TrainingDevice,
    readonly name: string,
    /** The numbers that steps change. */
    readonly master: Tensor,
    readonly tracked: boolean,
    readonly storage: ParameterStorage,
  ) {
    if (tracked) this.gradient = device.training.zeros(master.shape);
    this.changed();
  }

  /** What the forward pass uses. */
  get value(): Tensor {
    return this.#rounded ?? this.master;
  }

  get shape(): Shape {
    return this.master.shape;
  }

  /** Only matrices decay. */
  get decays(): boolean {
    return this.shape[0] > 1;
  }

  /** The master has other numbers than before. */
  changed(): void {
    // Vectors stay exact: they are nothing in size, and norms are near 1, where steps of bfloat16 are coarse.
    if (this.storage === "f32" || !this.decays) return;
    if (this.#rounded) this.device.release(this.#rounded);
    this.#rounded = this.device.training.roundToBf16(this.master);
  }

  release(): void {
    for (const tensor of [this.master, this.gradient, this.#rounded]) {
      if (tensor) this.device.release(tensor);
    }
  }
}

/** The factors beside one matrix, as `LowRank`. */
export interface Adapter {
  /** `[rank, in]` */
  readonly a: Parameter;
  /** `[out, rank]`, zero at first. */
  readonly b: Parameter;
  readonly factor: number;
}

/** All parameters of a model on a device. */
export class Parameters {
  readonly adapters: ReadonlyMap<string, Adapter>;

  constructor(
    readonly device: TrainingDevice,
    private readonly model: ReadonlyMap<string, Parameter>,
    adapters: ReadonlyMap<string, Adapter> = new Map(),
  ) {
    this.adapters = adapters;
  }

  /** The model's parameter of this name. */
  get(name: string): Parameter {
    return this.model.get(name)!;
  }

  /** Names of the model's tensors. */
  get names(): readonly string[] {
    return [...this.model.keys()];
  }

  has(name: string): boolean {
    return this.model.has(name);
  }

  /** Those that are trained, in the order of the model. */
  get trained(): readonly Parameter[] {
    const factors = [...this.adapters.values()].flatMap(({ a, b }) => [a, b]);
    return [...this.model.values(), ...factors].filter(({ tracked }) => tracked);
  }

  /** Number of trained numbers. */
  get trainedCount(): number {
    return this.trained.reduce((sum, { shape: [rows, columns] }) => sum + rows * columns, 0);
  }

  /** Whether a tensor of the model differs from what was loaded. */
  isTrained(name: string): boolean {
    return this.get(name).tracked || this.adapters.has(name);
  }

  /** The numbers of a tensor of the model, adapters merged: `W + (alpha / rank) B A`. */
  async read(name: string): Promise<Float32Array> {
    const { device } = this;
    const { master } = this.get(name);
    const adapter = this.adapters.get(name);
    if (!adapter) return device.read(master);
    const merged = device.scope(() => {
      const { training } = device;
      const product = training.product("ab", adapter.b.master, adapter.a.master);
      const sum = training.zeros(master.shape);
      training.addScaled(sum, master, 1);
      training.addScaled(sum, product, adapter.factor);
      return sum;
    });
    try {
      return await device.read(merged);
    } finally {
      device.release(merged);
    }
  }

  release(): void {
    for (const parameter of this.model.values()) parameter.release();
    for (const { a, b } of this.adapters.values()) {
      a.release();
      b.release();
    }
  }
}

export interface LoadParametersOptions {
  /** Default: none, as for a teacher. */
  readonly train?: ParameterPattern | undefined;
  /** With `train: "adapters"`, default rank 8. */
  readonly adapters?: AdapterOptions | undefined;
  readonly storage?: ParameterStorage | undefined;
  /** Of the first factors of adapters. */
  readonly seed?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A vector is a tensor `[1, size]`. */
export const shapeOf = (shape: readonly number[]): Shape =>
  shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];

/**
 * Loads all tensors of a model as parameters.
 *
 * @throws TrainingError `NothingToTrain`, `InvalidOption`; KernelsError `OutOfMemory`; TensorIoError for unreadable files
 */
export async function loadParameters(
  { config, checkpoint }: Pick<ModelFiles, "config" | "checkpoint">,
  device: TrainingDevice,
  { train, adapters: wanted, storage = "f32", seed = 0, signal }: LoadParametersOptions = {},
): Promise<Parameters> {
  const pattern = typeof train === "string" ? patterns[train] : train;
  const loaded = new Map<string, Parameter>();
  const adapters = new Map<string, Adapter>();
  const parameters = new Parameters(device, loaded, adapters);
  try {
    for (const { name, shape } of modelTensors(config)) {
      const values = await checkpoint.read(name, { as: "f32", signal });
      const offset = normOffset(name, config.normOffset);
      const master = device.tensor(
        offset === 0 ? values : values.map((value) => value + offset),
        shapeOf(shape),
      );
      const tracked = pattern?.test(name) ?? false;
      loaded.set(name, new Parameter(device, name, master, tracked, storage));
    }
    if (train === "adapters") addAdapters(parameters, adapters, wanted, storage, seed);
    if (pattern && parameters.trained.length === 0) {
      throw new TrainingError(
        "NothingToTrain",
        `No parameter of this model matches ${String(train)}; a model with grouped attention has no up-projections.`,
        { train: String(train) },
      );
    }
    return parameters;
  } catch (error) {
    parameters.release();
    throw error;
  }
}

/** Gemma stores the weights of its norms less one; those of heads and latents are stored as they are. */
export function normOffset(name: string, offset: number): number {
  return name.endsWith("norm.weight") && !name.includes(".self_attn.") ? offset : 0;
}

const LAYER_MATRIX = /^model\.layers\..*_proj\.weight$/;

function addAdapters(
  parameters: Parameters,
  adapters: Map<string, Adapter>,
  { rank, alpha = 2 * rank, matrices = LAYER_MATRIX }: AdapterOptions = { rank: 8 },
  storage: ParameterStorage,
  seed: number,
): void {
  if (!Number.isSafeInteger(rank) || rank < 1) {
    throw new TrainingError("InvalidOption", `rank must be a whole number from 1, got ${rank}.`, {
      option: "rank",
      value: rank,
    });
  }
  const { device } = parameters;
  const random = uniform(seed);
  for (const name of parameters.names) {
    const { shape } = parameters.get(name);
    if (!matrices.test(name) || shape[0] === 1) continue;
    const [out, input] = shape;
    // As in the paper: the first factor random, the second zero, so that training begins with the model as it is.
    const bound = Math.sqrt(3 / input);
    const a = Float32Array.from({ length: rank * input }, () => bound * (2 * random() - 1));
    const factor = (part: "a" | "b", master: Tensor) =>
      new Parameter(device, `${name}.lora_${part}`, master, true, storage);
    adapters.set(name, {
      a: factor("a", device.tensor(a, [rank, input])),
      b: factor("b", device.training.zeros([out, rank])),
      factor: alpha / rank,
    });
  }
}
