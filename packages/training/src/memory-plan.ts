import { modelTensors, type ModelConfig } from "@transmla/models";
import { LOGIT_ROWS } from "./objective";
import { patterns, shapeOf, type ParameterPattern, type ParameterStorage } from "./parameters";

export interface MemoryPlanOptions {
  readonly train: ParameterPattern;
  readonly storage?: ParameterStorage | undefined;
  readonly adapterRank?: number | undefined;
  /** Predictions of a batch. */
  readonly tokens: number;
  /** Longest document. */
  readonly context: number;
  readonly recompute?: boolean | undefined;
  readonly teacher?: ModelConfig | undefined;
  readonly threads?: number | undefined;
}

/** Bytes by what they are for: on the device, and `host` beside it. */
export interface MemoryPlan {
  /** Masters, rounded copies and gradients. */
  readonly parameters: number;
  readonly optimiser: number;
  readonly teacher: number;
  /** Activations of a batch and their gradients at the worst moment. */
  readonly activations: number;
  /** Logits, and the matrices of attention. */
  readonly working: number;
  /** What the program itself grows by: threads, compiled code, and copies of tensors that are written to files. */
  readonly host: number;
  readonly total: number;
}

/** Measured with Node 20: a thread beside the first, with its engine; and what the engine grows by as it compiles. */
const THREAD_BYTES = 12e6;
const COMPILED_BYTES = 6e6;
/** Copies that nobody needs any longer are collected by the engine when there are about so many bytes of them. */
const UNCOLLECTED_BYTES = 64e6;

/** What training will take beyond the program, known from the configuration alone. */
export function memoryPlan(config: ModelConfig, options: MemoryPlanOptions): MemoryPlan {
  const { train, storage = "f32", tokens, recompute = false, teacher } = options;
  const all = countNumbers(config);
  const trained = countTrained(config, options);
  const adapters = train === "adapters" ? trained : 0;
  const copies = storage === "bf16" ? all + adapters : 0;
  const parameters = 4 * (all + adapters + trained + copies);
  const optimiser = 8 * trained;
  const teacherBytes = teacher ? 4 * (countNumbers(teacher) + tokens * teacher.hiddenSize) : 0;
  const perLayer = config.layers.map((_, layer) => activationNumbers(config, layer));
  const largest = Math.max(...perLayer);
  const stream = config.hiddenSize * (config.layers.length + 4);
  const kept = recompute ? largest : perLayer.reduce((sum, numbers) => sum + numbers, 0);
  // The gradients of one layer's activations are there beside those that wait for it.
  const activations = 4 * tokens * (kept + stream + largest / 2);
  const working = workingBytes(config, options);
  const host = hostBytes(trained, options);
  const total = parameters + optimiser + teacherBytes + activations + working + host;
  return { parameters, optimiser, teacher: teacherBytes, activations, working, host, total };
}

const numbersOf = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);

const countNumbers = (config: ModelConfig): number =>
  modelTensors(config).reduce((sum, { shape }) => sum + numbersOf(shape), 0);

function countTrained(config: ModelConfig, { train, adapterRank = 8 }: MemoryPlanOptions): number {
  const pattern = typeof train === "string" ? patterns[train] : train;
  return modelTensors(config).reduce((sum, { name, shape }) => {
    if (train !== "adapters") return sum + (pattern.test(name) ? numbersOf(shape) : 0);
    const [out, input] = shapeOf(shape);
    const has = /^model\.layers\..*_proj\.weight$/.test(name);
    return sum + (has ? adapterRank * (out + input) : 0);
  }, 0);
}

/** Numbers that one layer keeps of every token for its gradients. */
function activationNumbers({ hiddenSize, layers }: ModelConfig, layer: number): number {
  const { attention, feedForward } = layers[layer]!;
  const inner = 3 * feedForward.intermediateSize + 4 * hiddenSize;
  if (attention.kind === "gqa") {
    const { heads, kvHeads, headDim } = attention;
    return inner + 3 * heads * headDim + 3 * kvHeads * headDim + heads;
  }
  const { heads, kvLoraRank, ropeDim, nopeDim, valueDim, keyUpHeads, valueUpHeads } = attention;
  const queries = heads * (nopeDim + 2 * ropeDim);
  const keys = 2 * kvLoraRank + 2 * ropeDim + keyUpHeads * nopeDim + valueUpHeads * valueDim;
  return inner + queries + keys + heads * valueDim + heads;
}

/** Logits of some rows with their gradients, and what threads work in. */
function workingBytes(
  { vocabSize, layers, hiddenSize }: ModelConfig,
  { context, threads = 1, tokens, teacher }: MemoryPlanOptions,
): number {
  const logits = 4 * Math.min(LOGIT_ROWS, tokens) * vocabSize * (teacher ? 4 : 2);
  const widths = layers.map(({ attention }) =>
    attention.kind === "gqa"
      ? [attention.headDim, attention.headDim]
      : [attention.nopeDim + attention.ropeDim, attention.valueDim],
  );
  const [key, value] = [0, 1].map((i) => Math.max(...widths.map((width) => width[i]!)));
  // The layout of `document-attention.ts` in @transmla/kernels: five matrices of keys, three of values, three of scores.
  const scratch = 4 * (context + 8) * (5 * key! + 3 * value! + 3 * 64);
  const packed = 4 * (hiddenSize * vocabSize + tokens * Math.max(hiddenSize, 512));
  return logits + threads * (scratch + 400_000) + packed;
}

/** A state is written from copies of the masters and both moments, one at a time, which are collected late. */
function hostBytes(trained: number, { threads = 1 }: MemoryPlanOptions): number {
  return (
    COMPILED_BYTES + (threads - 1) * THREAD_BYTES + Math.min(3 * 4 * trained, UNCOLLECTED_BYTES)
  );
}
