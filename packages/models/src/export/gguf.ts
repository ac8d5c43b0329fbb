import {
  byteLengthOf,
  planGguf,
  TensorWriter,
  type ByteSink,
  type FilePlan,
  type GgufDType,
  type GgufEntry,
} from "@transmla/tensor-io";
import type { ModelFiles } from "../open-model";
import { groupedModel } from "./gguf-grouped";
import { latentModel } from "./gguf-latent";
import { u32 } from "./gguf-model";
import type { GgufWeights, PlannedGgufTensor } from "./gguf-tensor";
import type { ExportProgress } from "./progress";

export type { GgufWeights, PlannedGgufTensor } from "./gguf-tensor";

export interface GgufExportOptions {
  /** Default `stored`. Matrices whose rows are no multiple of 32 are F16 instead of Q8_0; vectors are always F32. */
  readonly weights?: GgufWeights | undefined;
  /** Entries about the tokenizer (`ggufEntriesOfTokenizer` of `@transmla/generation`). Without them only the weights can be used. */
  readonly tokenizer?: ReadonlyMap<string, GgufEntry> | undefined;
  /** `general.name`. */
  readonly name?: string | undefined;
}

/** A GGUF file of a model before its weights. */
export interface GgufExportPlan {
  readonly files: ModelFiles;
  readonly file: FilePlan;
  readonly tensors: readonly PlannedGgufTensor[];
}

/**
 * Plans a GGUF file that llama.cpp runs as the same model, from headers alone.
 *
 * @throws ModelsError `UnsupportedModel` for what llama.cpp's architecture cannot carry; TensorIoError of `planGguf`
 */
export function planGgufExport(
  files: ModelFiles,
  { weights = "stored", tokenizer = new Map(), name }: GgufExportOptions = {},
): GgufExportPlan {
  const describe = files.config.layers[0]!.attention.kind === "mla" ? latentModel : groupedModel;
  const { architecture, tensors, settings } = describe(files, weights);
  const entries = new Map<string, GgufEntry>([
    ["general.architecture", architecture],
    ...(name === undefined ? [] : [["general.name", name] as const]),
    ["general.file_type", u32(fileType(tensors))],
    ["general.quantization_version", u32(2)],
    ...settings.map(([key, entry]) => [`${architecture}.${key}`, entry] as const),
    ...tokenizer,
  ]);
  return {
    files,
    tensors,
    file: planGguf(
      tensors.map(({ spec }) => spec),
      entries,
    ),
  };
}

/** Writes a planned file, a piece at a time. A failure or an abort leaves nothing behind. */
export async function writeGgufExport(
  { files: { checkpoint }, file, tensors }: GgufExportPlan,
  sink: ByteSink,
  { onProgress, signal }: ExportProgress = {},
): Promise<void> {
  const writer = new TensorWriter(sink, file);
  const total = file.byteLength;
  let done = file.header.byteLength;
  try {
    for (const { spec, source } of tensors) {
      for await (const piece of source(checkpoint, spec.dtype, signal)) {
        await writer.write(spec.name, piece);
      }
      done += byteLengthOf(
        spec.dtype,
        spec.shape.reduce((product, size) => product * size, 1),
      );
      onProgress?.({ done, total, unit: "bytes" });
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** `enum llama_ftype` of the type that most numbers have; what has no number of its own counts as F16. */
function fileType(tensors: readonly PlannedGgufTensor[]): number {
  const counts = new Map<GgufDType, number>();
  for (const { spec } of tensors) {
    const numbers = spec.shape.reduce((product, size) => product * size, 1);
    counts.set(spec.dtype, (counts.get(spec.dtype) ?? 0) + numbers);
  }
  const [most] = [...counts].toSorted(([, a], [, b]) => b - a)[0]!;
  const types: Readonly<Record<string, number>> = {
    F32: 0,
    F16: 1,
    Q4_0: 2,
    Q4_1: 3,
    Q8_0: 7,
    BF16: 32,
  };
  return types[most] ?? 1;
}
