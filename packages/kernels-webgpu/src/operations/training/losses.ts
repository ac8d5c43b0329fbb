import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes, type BufferUse, type Kernel, type ParamType } from "../../wgsl/kernel";
import { reduction } from "../../wgsl/reduce";

const WORKGROUP = 128;

/** Where a loss and its gradient go. */
export interface LossBlocks {
  /** `[rows, 1]` */
  readonly losses: Block;
  /** `[rows, columns]` */
  readonly gradient: Block;
}

interface LossShape {
  readonly rows: number;
  readonly columns: number;
}

/** What the kernels of both losses begin with: rows of weight 0 are not looked at. */
const lossKernel = (kernel: {
  readonly name: string;
  readonly params: Record<string, ParamType>;
  readonly buffers: Record<string, BufferUse>;
  readonly declarations?: string;
  readonly body: string;
}): Kernel => ({
  name: kernel.name,
  params: { rows: "u32", columns: "u32", weights: "u32", ...kernel.params },
  buffers: {
    ...kernel.buffers,
    host: reads("u32"),
    losses: writes("f32"),
    gradient: writes("f32"),
  },
  workgroup: WORKGROUP,
  declarations: [
    reduction("sum_of", "sum", WORKGROUP),
    reduction("largest_of", "max", WORKGROUP),
    kernel.declarations ?? "",
  ].join("\n"),
  body: /* wgsl */ `
  if (index >= params.rows) { return; }
  let start = index * params.columns;
  let weight = bitcast<f32>(host[params.weights + index]);
  if (weight == 0.0) {
    for (var c = local; c < params.columns; c += ${WORKGROUP}u) { gradient[start + c] = 0.0; }
    if (local == 0u) { losses[index] = 0.0; }
    return;
  }
  ${kernel.body}`,
});

/** WGSL: the largest number of a row of `name / divisor` and the logarithm of its sum of exponentials, relative to it. */
const rowSums = (name: string, divisor: string) => /* wgsl */ `
/** The largest of a row's numbers divided by ${divisor}, and log(sum(exp(number - largest))). */
fn ${name}_sums(local: u32, start: u32) -> vec2<f32> {
  var own = ${name}[start] / ${divisor};
  for (var c = local; c < params.columns; c += ${WORKGROUP}u) {
    own = max(own, ${name}[start + c] / ${divisor});
  }
  let largest = largest_of(local, own);
  var sum = 0.0;
  for (var c = local; c < params.columns; c += ${WORKGROUP}u) {
    sum += exp(${name}[start + c] / ${divisor} - largest);
  }
  return vec2<f32>(largest, log(sum_of(local, sum)));
}`;

/** Weighted cross-entropy of every row and the gradient of its logits; a workgroup a row. */
export function crossEntropy(
  gpu: Gpu,
  logits: Block,
  { rows, columns }: LossShape,
  { targets, weights }: { readonly targets: Int32Array; readonly weights: Float32Array },
  { losses, gradient }: LossBlocks,
): void {
  const make = () =>
    lossKernel({
      name: "cross-entropy",
      params: { targets: "u32" },
      buffers: { logits: reads("f32") },
      declarations: rowSums("logits", "1.0"),
      body: /* wgsl */ `
  let wanted = host[params.targets + index];
  let sums = logits_sums(local, start);
  for (var c = local; c < params.columns; c += ${WORKGROUP}u) {
    let probability = exp(logits[start + c] - sums.x - sums.y);
    gradient[start + c] = weight * select(probability, probability - 1.0, c == wanted);
  }
  if (local == 0u) { losses[index] = weight * (sums.y - (logits[start + wanted] - sums.x)); }`,
    });
  gpu.recorder.prepare(2 * rows, 2);
  const places = [gpu.recorder.integers(wordsOf(weights)), gpu.recorder.integers(targets)];
  const params = [rows, columns, ...places];
  gpu.run("cross-entropy", make, params, [logits, losses, gradient], { count: rows });
}

/** Weighted divergence from a teacher of every row and the gradient of the student's logits; a workgroup a row. */
export function divergence(
  gpu: Gpu,
  { logits, teacher }: { readonly logits: Block; readonly teacher: Block },
  { rows, columns }: LossShape,
  temperature: number,
  weights: Float32Array,
  { losses, gradient }: LossBlocks,
): void {
  const make = () =>
    lossKernel({
      name: "divergence",
      params: { temperature: "f32" },
      buffers: { logits: reads("f32"), teacher: reads("f32") },
      declarations:
        rowSums("logits", "params.temperature") + rowSums("teacher", "params.temperature"),
      body: /* wgsl */ `
  let q_sums = logits_sums(local, start);
  let p_sums = teacher_sums(local, start);
  var own = 0.0;
  for (var c = local; c < params.columns; c += ${WORKGROUP}u) {
    let log_q = logits[start + c] / params.temperature - q_sums.x - q_sums.y;
    let log_p = teacher[start + c] / params.temperature - p_sums.x - p_sums.y;
    let p = exp(log_p);
    // What the teacher excludes has no part in the sum, however far the logarithm goes.
    if (p > 0.0) { own += p * (log_p - log_q); }
    gradient[start + c] = weight * params.temperature * (exp(log_q) - p);
  }
  let sum = sum_of(local, own);
  if (local == 0u) { losses[index] = weight * params.temperature * params.temperature * sum; }`,
    });
  gpu.recorder.prepare(rows, 1);
  const params = [rows, columns, gpu.recorder.integers(wordsOf(weights)), temperature];
  gpu.run("divergence", make, params, [logits, teacher, losses, gradient], { count: rows });
}

const wordsOf = ({ buffer, byteOffset, length }: Float32Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, length);
