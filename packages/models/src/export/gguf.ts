import {
  byteLengthOf,
  ggufBlockDTypes,
  JsonNumber,
  planGguf,
  storageBlock,
  TensorWriter,
  type ByteSink,
  type FilePlan,
  type GgufDType,
  type GgufEntry,
  type GgufTensorSpec,
  type TensorInfo,
} from "@transmla/tensor-io";
import type { GroupedAttentionConfig, ModelConfig } from "../config/model-config";
import { ropeFrequencies } from "../config/rope";
import { ModelsError } from "../errors";
import { architectureOfFamily, architectures, ggufName, rotatedHeads } from "../gguf/architectures";
import { interleavedRows } from "../gguf/rotary-rows";
import type { ModelFiles } from "../open-model";
import { modelTensors } from "../tensors";
import { encodedPieces, encodedTensor } from "./encoding";
import type { ExportProgress } from "./progress";

/** Element type of the matrices: one type, or `stored` for what each has where GGUF has it too (else F16). */
export type GgufWeights = "stored" | "F32" | "F16" | "BF16" | "Q8_0";

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

export interface PlannedGgufTensor {
  /** In the GGUF file. */
  readonly spec: GgufTensorSpec;
  /** Hugging Face name, in the checkpoint. */
  readonly source: string;
  /** Heads whose rows are interleaved on the way. */
  readonly heads: number | undefined;
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
  const { config, checkpoint } = files;
  const attention = exportableAttention(files);
  const architecture = architectureOfFamily[config.family]!;
  const { interleavedRope } = architectures[architecture]!;
  const heads = { query: attention.heads, key: attention.kvHeads };
  const tensors = modelTensors(config).map(({ name: source, shape }): PlannedGgufTensor => {
    const dtype = elementType(checkpoint.tensors.get(source)!, weights);
    return {
      spec: { name: ggufName(source)!, dtype, shape },
      source,
      heads: interleavedRope ? rotatedHeads(source, heads) : undefined,
    };
  });
  const entries = new Map<string, GgufEntry>([
    ["general.architecture", architecture],
    ...(name === undefined ? [] : [["general.name", name] as const]),
    ["general.file_type", { type: "u32", value: fileType(tensors) }],
    ["general.quantization_version", { type: "u32", value: 2 }],
    ...settings(config, attention, architecture, files),
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
    for (const { spec, source, heads } of tensors) {
      if (heads === undefined) {
        for await (const piece of encodedPieces(checkpoint, source, spec.dtype, signal)) {
          await writer.write(spec.name, piece);
        }
      } else {
        // Rows move within a head; these matrices are small enough to take whole.
        const bytes = await encodedTensor(checkpoint, source, spec.dtype, signal);
        await writer.write(spec.name, interleavedRows(bytes, spec.shape[0]!, heads));
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

/** The attention of every layer. @throws ModelsError `UnsupportedModel` naming what cannot be carried */
function exportableAttention({ config, configJson }: ModelFiles): GroupedAttentionConfig {
  const { layers, family, maxPositions } = config;
  const refuse = (part: string): never => {
    throw new ModelsError(
      "UnsupportedModel",
      `GGUF files of llama.cpp cannot carry ${part} of this ${family} model.`,
      { family, part },
    );
  };
  if (!Object.hasOwn(architectureOfFamily, family)) refuse("the architecture");
  for (const { attention, feedForward } of layers) {
    if (attention.kind !== "gqa") return refuse("the latent attention");
    if (attention.window !== undefined && attention.window < maxPositions) {
      refuse("the sliding window");
    }
    const plain = ropeFrequencies(attention.headDim, ropeTheta(configJson));
    if (attention.frequencies.some((frequency, f) => frequency !== plain[f])) {
      refuse("the rotary scaling");
    }
    if (feedForward.kind !== "gated") return refuse("the experts");
    if (feedForward.activation !== "silu") refuse(`the activation ${feedForward.activation}`);
  }
  const unnamed = modelTensors(config).find(({ name }) => ggufName(name) === undefined);
  if (unnamed) refuse(`the tensor ${unnamed.name}`);
  return layers[0]!.attention as GroupedAttentionConfig;
}

function ropeTheta(configJson: ModelFiles["configJson"]): number {
  const theta = configJson.get("rope_theta");
  return theta instanceof JsonNumber ? theta.value : 10000;
}

/** `stored` types that a GGUF file can have, by name. */
const storedTypes: ReadonlySet<string> = new Set(["F32", "F16", "BF16", ...ggufBlockDTypes]);

function elementType({ dtype, shape }: TensorInfo, weights: GgufWeights): GgufDType {
  if (shape.length < 2) return "F32";
  const wanted = weights === "stored" ? dtype : weights;
  if (!storedTypes.has(wanted)) return "F16";
  return shape.at(-1)! % storageBlock(wanted).elements === 0 ? (wanted as GgufDType) : "F16";
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

function settings(
  { maxPositions, hiddenSize, layers, normEpsilon, vocabSize }: ModelConfig,
  { heads, kvHeads, headDim }: GroupedAttentionConfig,
  architecture: string,
  { configJson }: ModelFiles,
): [string, GgufEntry][] {
  const { intermediateSize } = layers[0]!.feedForward;
  const entry = (key: string, type: "u32" | "f32", value: number): [string, GgufEntry] => [
    `${architecture}.${key}`,
    { type, value },
  ];
  return [
    entry("context_length", "u32", maxPositions),
    entry("embedding_length", "u32", hiddenSize),
    entry("block_count", "u32", layers.length),
    entry("feed_forward_length", "u32", intermediateSize),
    entry("attention.head_count", "u32", heads),
    entry("attention.head_count_kv", "u32", kvHeads),
    entry("attention.key_length", "u32", headDim),
    entry("attention.value_length", "u32", headDim),
    entry("attention.layer_norm_rms_epsilon", "f32", normEpsilon),
    entry("rope.dimension_count", "u32", headDim),
    entry("rope.freq_base", "f32", ropeTheta(configJson)),
    entry("vocab_size", "u32", vocabSize),
  ];
}
