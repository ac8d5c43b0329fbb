import { open } from "node:fs/promises";
import { encodeBlocks } from "./gguf-blocks.mjs";
import { modelTensors, tensorNumbers } from "./shape.mjs";

/**
 * Writes the model as GGUF 3 (github.com/ggml-org/ggml, docs/gguf.md) for llama.cpp: matrices as `type` ("F32", "F16" or
 * "Q8_0"), norms as F32, and a made-up vocabulary, because llama.cpp loads no model without one.
 */
export async function writeGguf(shape, type, path) {
  const file = await open(path, "w");
  try {
    const tensors = [...modelTensors(shape)].map((tensor) => ({
      ...tensor,
      ...encoding(tensor.shape.length === 1 ? "F32" : type, tensor.shape),
    }));
    const header = headerBytes(metadata(shape), tensors);
    await file.write(header);
    for (const [index, tensor] of tensors.entries()) {
      const values = interleaveRotary(tensorNumbers(tensor, index), tensor);
      const bytes = encodeBlocks(values, tensor.type);
      await file.write(bytes);
      await file.write(Buffer.alloc(padding(bytes.length)));
    }
  } finally {
    await file.close();
  }
}

const ALIGNMENT = 32;
const padding = (length) => (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;

/** Numbers of `enum ggml_type`, and bytes of a block. */
const types = {
  F32: { code: 0, numbers: 1, bytes: 4 },
  F16: { code: 1, numbers: 1, bytes: 2 },
  Q8_0: { code: 8, numbers: 32, bytes: 34 },
};

function encoding(type, shape) {
  const { code, numbers, bytes } = types[type];
  const count = shape.reduce((product, size) => product * size, 1);
  return { type, code, byteLength: (count / numbers) * bytes };
}

/** llama.cpp wants the two halves of a rotated pair side by side: row `2 f + s` of a head is row `s headDim/2 + f`. */
function interleaveRotary(values, { rotaryHeads, shape }) {
  if (rotaryHeads === undefined) return values;
  const [rows, columns] = shape;
  const headDim = rows / rotaryHeads;
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim;
    const from = row - inHead + (inHead % 2) * (headDim / 2) + (inHead >> 1);
    result.set(values.subarray(from * columns, (from + 1) * columns), row * columns);
  }
  return result;
}

function metadata(shape) {
  const tokens = vocabulary(shape.vocabulary);
  return [
    ["general.architecture", "string", "llama"],
    ["general.name", "string", "random weights"],
    ["general.alignment", "u32", ALIGNMENT],
    ["llama.block_count", "u32", shape.layers],
    ["llama.context_length", "u32", shape.positions],
    ["llama.embedding_length", "u32", shape.hidden],
    ["llama.feed_forward_length", "u32", shape.feedForward],
    ["llama.attention.head_count", "u32", shape.heads],
    ["llama.attention.head_count_kv", "u32", shape.kvHeads],
    ["llama.attention.layer_norm_rms_epsilon", "f32", shape.epsilon],
    ["llama.rope.dimension_count", "u32", shape.headDim],
    ["llama.rope.freq_base", "f32", shape.ropeTheta],
    ["llama.vocab_size", "u32", shape.vocabulary],
    ["tokenizer.ggml.model", "string", "gpt2"],
    ["tokenizer.ggml.pre", "string", "smollm"],
    ["tokenizer.ggml.tokens", "strings", tokens],
    ["tokenizer.ggml.token_type", "i32s", tokens.map(() => 1)],
    ["tokenizer.ggml.merges", "strings", ["a b"]],
    ["tokenizer.ggml.bos_token_id", "u32", 0],
    ["tokenizer.ggml.eos_token_id", "u32", 0],
  ];
}

/** The 256 byte tokens of GPT-2's byte-level alphabet, which llama.cpp needs, and as many words as are asked for. */
function vocabulary(size) {
  const printable = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let other = 256;
  const letters = Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : other++),
  );
  return [
    "<|endoftext|>",
    ...letters,
    "ab",
    ...Array.from({ length: size - 258 }, (_, i) => `w${i}x`),
  ];
}

function headerBytes(values, tensors) {
  const parts = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(values.length)];
  for (const [key, kind, value] of values) parts.push(text(key), ...typedValue[kind](value));
  let offset = 0;
  for (const { gguf, shape, code, byteLength } of tensors) {
    const sizes = shape.toReversed();
    parts.push(text(gguf), u32(sizes.length), ...sizes.map(u64), u32(code), u64(offset));
    offset += byteLength + padding(byteLength);
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc(padding(header.length))]);
}

const u32 = (value) => filled(4, (bytes) => bytes.writeUInt32LE(value));
const i32 = (value) => filled(4, (bytes) => bytes.writeInt32LE(value));
const f32 = (value) => filled(4, (bytes) => bytes.writeFloatLE(value));
const u64 = (value) => filled(8, (bytes) => bytes.writeBigUInt64LE(BigInt(value)));
const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

function filled(length, write) {
  const bytes = Buffer.alloc(length);
  write(bytes);
  return bytes;
}

/** Values after the number of their `enum gguf_metadata_value_type`. */
const typedValue = {
  u32: (value) => [u32(4), u32(value)],
  f32: (value) => [u32(6), f32(value)],
  string: (value) => [u32(8), text(value)],
  strings: (items) => [u32(9), u32(8), u64(items.length), ...items.map(text)],
  i32s: (items) => [u32(9), u32(5), u64(items.length), ...items.map(i32)],
};
