import { randomNumbers, roundToBf16 } from "../random.mjs";

/** SmolLM2-135M (config.json of HuggingFaceTB/SmolLM2-135M): GQA, embedding tied to the output head. */
export const smollm2 = {
  layers: 30,
  hidden: 576,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  feedForward: 1536,
  vocabulary: 49152,
  positions: 8192,
  ropeTheta: 100000,
  epsilon: 1e-5,
};

/** The same with little of everything, for `--quick`. */
export const tiny = { ...smollm2, layers: 2, vocabulary: 1024 };

/**
 * Every tensor under its Hugging Face name and its GGUF name. Matrices hold random numbers of standard deviation
 * `1 / sqrt(in)`, rounded to bf16 so that every format holds the same; norms are ones.
 */
export function* modelTensors(shape) {
  const { layers, hidden, heads, kvHeads, headDim, feedForward, vocabulary } = shape;
  const norm = (hf, gguf) => ({ hf, gguf, shape: [hidden] });
  yield { hf: "model.embed_tokens.weight", gguf: "token_embd.weight", shape: [vocabulary, hidden] };
  for (let layer = 0; layer < layers; layer++) {
    const parts = [
      ["self_attn.q_proj", "attn_q", [heads * headDim, hidden], heads],
      ["self_attn.k_proj", "attn_k", [kvHeads * headDim, hidden], kvHeads],
      ["self_attn.v_proj", "attn_v", [kvHeads * headDim, hidden]],
      ["self_attn.o_proj", "attn_output", [hidden, heads * headDim]],
      ["mlp.gate_proj", "ffn_gate", [feedForward, hidden]],
      ["mlp.up_proj", "ffn_up", [feedForward, hidden]],
      ["mlp.down_proj", "ffn_down", [hidden, feedForward]],
    ];
    const hfName = (part) => `model.layers.${layer}.${part}.weight`;
    const ggufName = (part) => `blk.${layer}.${part}.weight`;
    yield norm(hfName("input_layernorm"), ggufName("attn_norm"));
    yield norm(hfName("post_attention_layernorm"), ggufName("ffn_norm"));
    for (const [hf, gguf, size, rotaryHeads] of parts) {
      yield { hf: hfName(hf), gguf: ggufName(gguf), shape: size, rotaryHeads };
    }
  }
  yield norm("model.norm.weight", "output_norm.weight");
}

/** The numbers of one tensor; `index` is its place in `modelTensors`. */
export function tensorNumbers({ shape }, index) {
  const count = shape.reduce((product, size) => product * size, 1);
  if (shape.length === 1) return new Float32Array(count).fill(1);
  return roundToBf16(randomNumbers(count, index + 1, 1 / Math.sqrt(shape[1])));
}

/** Bytes of the weights that decoding one token reads, at `bytesPerNumber`. */
export function weightBytes(shape, bytesPerNumber) {
  let numbers = 0;
  for (const { shape: size } of modelTensors(shape)) {
    if (size.length === 2) numbers += size[0] * size[1];
  }
  return numbers * bytesPerNumber;
}
