import { patched, u64, utf8, type Attack } from "../attack";
import { gguf } from "../model";

const file = "model.gguf";
const sound = gguf.get(file)!;
const view = Buffer.from(sound);

/** Where a string of the file begins, behind its length. */
function at(text: string): number {
  const found = view.indexOf(text);
  if (found < 0) throw new Error(`the model has no ${text}`);
  return found;
}

/** Where the value of a key begins, behind its type. */
const value = (key: string) => at(key) + key.length + 4;
const typeOf = (key: string) => at(key) + key.length;

/** A name replaced by another of the same length. */
const renamed = (from: string, to: string) => patched(sound, at(from), ...utf8(to));

const layers = "llama.block_count";
const width = "llama.embedding_length";
/** Behind the name of a tensor: dimensions, sizes, type and offset. */
const description = (name: string) => at(name) + name.length;
const embedding = description("token_embd.weight");
const norm = description("output_norm.weight");

const cases: readonly (readonly [code: string, name: string, bad: Uint8Array])[] = [
  ["GgufBadMagic", "another magic", patched(sound, 0, 0x47, 0x47, 0x4d, 0x4c)],
  ["GgufBadMagic", "an empty file", new Uint8Array(0)],
  ["GgufBigEndian", "a file of big-endian machines", patched(sound, 4, 0, 0, 0, 3)],
  ["GgufUnsupportedVersion", "version 1", patched(sound, 4, 1)],
  ["GgufUnsupportedVersion", "version 4", patched(sound, 4, 4)],
  ["GgufTruncated", "2^63 tensors", patched(sound, 8, ...u64(2n ** 63n))],
  ["GgufTruncated", "2^64 - 1 keys", patched(sound, 16, ...u64(2n ** 64n - 1n))],
  ["GgufTruncated", "a name of 2^40 bytes", patched(sound, 24, ...u64(2n ** 40n))],
  ["GgufTruncated", "half of the header", sound.subarray(0, 4000)],
  ["GgufTruncated", "half of the weights", sound.subarray(0, sound.length - 4000)],
  [
    "GgufTruncated",
    "a list of 2^61 texts",
    patched(sound, value("tokenizer.ggml.tokens") + 4, ...u64(2n ** 61n)),
  ],
  ["GgufDuplicateKey", "a key twice", renamed("general.file_type", "llama.block_count")],
  ["GgufInvalidType", "an unknown type of value", patched(sound, typeOf(layers), 99)],
  [
    "GgufDuplicateTensor",
    "a tensor twice",
    renamed("blk.0.attn_norm.weight", "blk.1.attn_norm.weight"),
  ],
  [
    "GgufInvalidRank",
    "a tensor of 2^32 - 1 dimensions",
    patched(sound, embedding, 255, 255, 255, 255),
  ],
  [
    "GgufInvalidShape",
    "a tensor of 2^63 columns",
    patched(sound, embedding + 4, ...u64(2n ** 63n)),
  ],
  ["GgufUnsupportedType", "an unknown type of weights", patched(sound, norm + 12, 99)],
  ["GgufInvalidOffset", "a tensor beyond the file", patched(sound, norm + 16, ...u64(2n ** 40n))],
  ["GgufInvalidOffset", "a tensor on the bytes of another", patched(sound, norm + 16, ...u64(0n))],
  ["UnsupportedModel", "an unknown architecture", renamed("llama", "mamba")],
  ["InvalidConfig", "no layers", patched(sound, value(layers), 0)],
  ["InvalidConfig", "two billion layers", patched(sound, value(layers), 0, 0, 0, 0x70)],
  ["TensorShape", "another width than the weights have", patched(sound, value(width), 32)],
  [
    "MissingTensor",
    "a tensor of another name",
    renamed("output_norm.weight", "output_morn.weight"),
  ],
];

export const attacks: readonly Attack[] = cases.map(([code, name, bad]) => ({
  kind: "gguf",
  name,
  code,
  bad: new Map([[file, bad]]),
  twin: gguf,
}));
