import type { DocumentAttention } from "../training-device";
import type { DocumentSizes } from "../validate";
import { ranges, type Call, type Pointer } from "./kernels";
import { placeIntegers, type Runtime } from "./runtime";

/** Addresses of the tensors of an attention; parts that are absent are 0. */
export interface DocumentPointers {
  readonly queries: readonly Pointer[];
  readonly keys: readonly Pointer[];
  readonly values: Pointer;
  readonly output: Pointer;
  readonly logSums: Pointer;
}

/** Where gradients go. */
export interface DocumentGradients {
  readonly dOutput: Pointer;
  readonly dQueries: readonly Pointer[];
  readonly dKeys: readonly Pointer[];
  readonly dValues: Pointer;
}

/** A window that nothing is outside of. */
const NO_WINDOW = 2 ** 30;

/** Writes `output` and `logSums`. */
export function documentAttention(
  runtime: Runtime,
  input: DocumentAttention,
  sizes: DocumentSizes,
  pointers: DocumentPointers,
): void {
  runtime.memory.temporarily((allocate) => {
    const task = fields(input, sizes, pointers, [0, 0, 0, 0, 0, 0]);
    visit(runtime, input, sizes, task, false, allocate);
  });
}

/** Writes all gradients. Those of keys and values are made for every head first where heads share them. */
export function documentAttentionBackward(
  runtime: Runtime,
  input: DocumentAttention,
  sizes: DocumentSizes,
  pointers: DocumentPointers,
  { dOutput, dQueries, dKeys, dValues }: DocumentGradients,
): void {
  const { heads, parts, valueHeads } = input;
  const { tokens, widths, valueDim } = sizes;
  runtime.memory.temporarily((allocate) => {
    const shared: (() => void)[] = [];
    const byHead = (to: Pointer, groups: number, width: number): Pointer => {
      if (groups === heads) return to;
      const from = allocate(4 * tokens * heads * width);
      shared.push(() => {
        runtime.run(
          ranges(tokens, runtime.threads, 1).map(({ first, count }): Call => {
            return ["sumHeads", to, from, first, count, heads, groups, width];
          }),
        );
      });
      return from;
    };
    const keys = parts.map(({ keyHeads }, i) => byHead(dKeys[i]!, keyHeads, widths[i]!));
    const values = byHead(dValues, valueHeads, valueDim);
    const places = [dOutput, dQueries[0]!, keys[0]!, dQueries[1] ?? 0, keys[1] ?? 0, values];
    visit(runtime, input, sizes, fields(input, sizes, pointers, places), true, allocate);
    for (const add of shared) add();
  });
}

/** The fields of `DocumentTask` in assembly/document-attention.ts, without the last. */
function fields(
  { parts, valueHeads, heads, scale, softCap, window }: DocumentAttention,
  { widths, valueDim }: DocumentSizes,
  { queries, keys, values, output, logSums }: DocumentPointers,
  gradients: readonly Pointer[],
): number[] {
  return [
    ...[0, 1].flatMap((i) => [
      queries[i] ?? 0,
      keys[i] ?? 0,
      widths[i] ?? 0,
      parts[i]?.keyHeads ?? 1,
    ]),
    values,
    valueDim,
    valueHeads,
    heads,
    window ?? NO_WINDOW,
    bitsOf(scale),
    bitsOf(softCap ?? 0),
    output,
    logSums,
    ...gradients,
  ];
}

/** Shares heads of documents out, the longest documents first, each thread with memory of its own. */
function visit(
  runtime: Runtime,
  { heads }: DocumentAttention,
  { documents, widths, valueDim }: DocumentSizes,
  task: readonly number[],
  backward: boolean,
  allocate: (bytes: number) => Pointer,
): void {
  const { memory, threads } = runtime;
  const units = documents
    .toSorted((a, b) => b.count - a.count)
    .flatMap(({ first, count }) => Array.from({ length: heads }, (_, head) => [first, count, head]))
    .flat();
  const total = units.length / 3;
  const width = widths.reduce((sum, part) => sum + part, 0);
  const scratchBytes = runtime.documentScratchBytes(units[1]!, width, valueDim, backward);
  const calls = Math.min(threads, total);
  const scratch = Array.from({ length: calls }, () => allocate(scratchBytes));
  const place = allocate(4 * units.length);
  const pointer = allocate(4 * (task.length + 1));
  placeIntegers(memory, place, units);
  placeIntegers(memory, pointer, [...task, place]);
  const name = backward ? "attendDocumentsBackward" : "attendDocuments";
  runtime.run(scratch.map((at, i): Call => [name, pointer, i, calls, total, at]));
}

const real = new Float32Array(1);
const bits = new Int32Array(real.buffer);

/** The bits of a float32. */
function bitsOf(value: number): number {
  real[0] = value;
  return bits[0]!;
}
