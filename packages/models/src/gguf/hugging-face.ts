import {
  decodeToF32,
  JsonNumber,
  type Checkpoint,
  type GgufCheckpoint,
  type GgufValue,
  type JsonObject,
  type JsonValue,
  type ReadOptions,
  type TensorInfo,
} from "@transmla/tensor-io";
import { ModelsError } from "../errors";
import { architectures, configKeys, huggingFaceName, rotatedHeads } from "./architectures";
import { halfSplitRows } from "./rotary-rows";

/**
 * Shows a GGUF model as the Hugging Face checkpoint it was made from: config fields, tensor names, and the half-split rotary
 * layout of queries and keys.
 *
 * @throws ModelsError `UnsupportedModel`, `InvalidConfig`
 */
export function ggufAsHuggingFace(
  gguf: GgufCheckpoint,
  file: string,
): { configJson: JsonObject; checkpoint: Checkpoint } {
  const name = gguf.values.get("general.architecture");
  const architecture =
    typeof name === "string" && Object.hasOwn(architectures, name)
      ? architectures[name]
      : undefined;
  if (typeof name !== "string" || !architecture) {
    throw new ModelsError(
      "UnsupportedModel",
      `${file}: architecture ${JSON.stringify(name)} is not supported; supported: ${Object.keys(architectures).join(", ")}.`,
      { file, architecture: name },
    );
  }
  refuseUnsupported(gguf, name, file);
  const configJson = configFromMetadata(gguf, name, architecture.modelType, file);
  const heads = architecture.interleavedRope ? rotaryHeads(gguf, name, file) : undefined;
  return { configJson, checkpoint: new RenamedCheckpoint(gguf, heads) };
}

function refuseUnsupported(gguf: GgufCheckpoint, architecture: string, file: string): void {
  const scaling = gguf.values.get(`${architecture}.rope.scaling.type`);
  const unsupported = [
    gguf.tensors.has("rope_freqs.weight") && "per-frequency rotary factors (rope_freqs.weight)",
    scaling !== undefined && scaling !== "none" && `rotary scaling "${String(scaling)}"`,
    Number(gguf.values.get(`${architecture}.expert_count`) ?? 0) > 0 && "mixture of experts",
  ].find(Boolean);
  if (!unsupported) return;
  throw new ModelsError(
    "UnsupportedModel",
    `${file}: ${unsupported} cannot be read from GGUF; use the model's safetensors checkpoint.`,
    { file, part: unsupported },
  );
}

function configFromMetadata(
  gguf: GgufCheckpoint,
  architecture: string,
  modelType: string,
  file: string,
): JsonObject {
  const config: JsonObject = new Map<string, JsonValue>([["model_type", modelType]]);
  for (const [key, field] of Object.entries(configKeys)) {
    const value = gguf.values.get(`${architecture}.${key}`);
    if (value !== undefined) config.set(field, jsonNumber(value, `${architecture}.${key}`, file));
  }
  const vocabSize = gguf.tensors.get("token_embd.weight")?.shape[0] ?? 0;
  config.set("vocab_size", new JsonNumber(`${vocabSize}`));
  config.set("tie_word_embeddings", !gguf.tensors.has("output.weight"));
  config.set("attention_bias", gguf.tensors.has("blk.0.attn_q.bias"));
  config.set("mlp_bias", gguf.tensors.has("blk.0.ffn_gate.bias"));
  for (const token of ["bos_token_id", "eos_token_id"]) {
    const value = gguf.values.get(`tokenizer.ggml.${token}`);
    if (value !== undefined) config.set(token, jsonNumber(value, `tokenizer.ggml.${token}`, file));
  }
  return config;
}

function jsonNumber(value: GgufValue, key: string, file: string): JsonNumber {
  if (typeof value === "number" || typeof value === "bigint") return new JsonNumber(`${value}`);
  throw new ModelsError("InvalidConfig", `${file}: ${key} must be a number.`, { file, key });
}

function rotaryHeads(gguf: GgufCheckpoint, architecture: string, file: string): RotaryHeads {
  const count = (key: string, fallback?: number): number => {
    const value = Number(gguf.values.get(`${architecture}.${key}`) ?? fallback);
    if (Number.isSafeInteger(value) && value > 0) return value;
    throw new ModelsError(
      "InvalidConfig",
      `${file}: ${architecture}.${key} must be a positive integer.`,
      {
        file,
        key,
      },
    );
  };
  const query = count("attention.head_count");
  return { query, key: count("attention.head_count_kv", query) };
}

interface RotaryHeads {
  readonly query: number;
  readonly key: number;
}

/** A view of a GGUF checkpoint under Hugging Face names. Tensors that have none keep their own. */
class RenamedCheckpoint implements Checkpoint {
  readonly format = "gguf";
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;

  constructor(
    private readonly gguf: GgufCheckpoint,
    private readonly interleaved: RotaryHeads | undefined,
  ) {
    this.metadata = gguf.metadata;
    this.tensors = new Map(
      Array.from(gguf.tensors.values(), (info) => {
        const name = huggingFaceName(info.name);
        return [name, { ...info, name }];
      }),
    );
    this.originals = new Map(
      Array.from(gguf.tensors.keys(), (name) => [huggingFaceName(name), name]),
    );
  }

  private readonly originals: ReadonlyMap<string, string>;

  async readBytes(name: string, options: ReadOptions = {}): Promise<Uint8Array> {
    const heads = this.headsToReorder(name);
    const original = this.originals.get(name) ?? name;
    if (!heads) return this.gguf.readBytes(original, options);
    // Rows move within a head, so any range of rows needs the whole head; these matrices are small enough to take whole.
    const { rows, signal } = options;
    const bytes = await this.gguf.readBytes(original, { signal });
    const { shape } = this.tensors.get(name)!;
    const reordered = halfSplitRows(bytes, shape[0], heads);
    const rowBytes = bytes.length / shape[0];
    return rows ? reordered.subarray(rows[0] * rowBytes, rows[1] * rowBytes) : reordered;
  }

  async read(name: string, options: ReadOptions & { readonly as: "f32" }): Promise<Float32Array> {
    if (!this.headsToReorder(name)) {
      return this.gguf.read(this.originals.get(name) ?? name, options);
    }
    return decodeToF32(await this.readBytes(name, options), this.tensors.get(name)!.dtype);
  }

  close(): Promise<void> {
    return this.gguf.close();
  }

  private headsToReorder(name: string): number | undefined {
    return this.interleaved && rotatedHeads(name, this.interleaved);
  }
}
