/** Addresses in the module's memory. */
export type Pointer = number;

/** Functions of `src/assembly` that threads may run, by their place in this list; see there for the arguments. */
export const KERNEL_NAMES = [
  "adamW",
  "add",
  "addRows",
  "addScaled",
  "argmax",
  "attend",
  "attendDocuments",
  "attendDocumentsBackward",
  "columnSums",
  "crossEntropy",
  "divergence",
  "fill",
  "gatedActivation",
  "gatedActivationBackward",
  "joinStates",
  "linear",
  "loadRows",
  "packPanels",
  "packRows",
  "packTransposedPanels",
  "product",
  "repack",
  "rmsNorm",
  "rmsNormBackward",
  "rope",
  "roundToBf16",
  "scale",
  "softCap",
  "softCapBackward",
  "storeRows",
  "sumHeads",
  "sumOfSquares",
  "unpackRow",
] as const;

export type KernelName = (typeof KERNEL_NAMES)[number];

/** The functions of the module. Booleans are 0 and 1. Those that need a workspace take its address last. */
export type Kernels = Readonly<Record<KernelName, (...args: number[]) => void>> & {
  workspaceBytes(): number;
  panelBytes(storage: number, inputs: number): number;
  panelRows(storage: number): number;
  documentScratchBytes(rows: number, width: number, valueDim: number, backward: number): number;
  canCode(source: Pointer, count: number): number;
  segmentEnd(start: number): number;
  useWideVectors(use: number): void;
};

/** One call of a kernel without its workspace, which is that of the thread that runs it. */
export type Call = readonly [kernel: KernelName, ...args: number[]];

/** Cuts `0 … count - 1` into at most `parts` ranges of about equal size, all but the last a multiple of `unit`. */
export function ranges(
  count: number,
  parts: number,
  unit: number,
): readonly { readonly first: number; readonly count: number }[] {
  const units = Math.ceil(count / unit);
  const pieces = Math.min(parts, units);
  const result = [];
  for (let piece = 0, first = 0; piece < pieces; piece++) {
    const size = unit * Math.floor((units + pieces - 1 - piece) / pieces);
    result.push({ first, count: Math.min(size, count - first) });
    first += size;
  }
  return result;
}
