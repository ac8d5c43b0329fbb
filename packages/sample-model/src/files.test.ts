import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  calibrationTextUrl,
  evaluationTextUrl,
  modelFolderPath,
  modelUrl,
  SampleModelError,
  sampleModelFiles,
  type SampleModelFile,
} from "./index";

const MODEL_BYTES_LIMIT = 6_000_000;

async function json(name: SampleModelFile): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(modelUrl(name), "utf8")) as Record<string, unknown>;
}

/** The entries of the safetensors header: 8 bytes of length, then JSON. */
async function tensorHeader(): Promise<Record<string, { dtype: string; shape: number[] }>> {
  const bytes = await readFile(modelUrl("model.safetensors"));
  const length = Number(bytes.readBigUInt64LE(0));
  const { __metadata__: _, ...tensors } = JSON.parse(bytes.toString("utf8", 8, 8 + length));
  return tensors;
}

function longLines(text: string): string[] {
  return text.split("\n").filter((line) => line.length > 40);
}

describe("the files", () => {
  it("are in one folder and stay within 6 MB together", async () => {
    let total = 0;
    for (const name of sampleModelFiles) {
      const path = fileURLToPath(modelUrl(name));
      expect(path).toBe(join(modelFolderPath(), name));
      expect(basename(path)).toBe(name);
      total += (await stat(path)).size;
    }
    expect(total).toBeLessThanOrEqual(MODEL_BYTES_LIMIT);
  });

  it("refuses a name that is not one of them", () => {
    for (const name of ["weights.bin", "../package.json", "toString"]) {
      const refused = () => modelUrl(name as SampleModelFile);
      expect(refused).toThrow(SampleModelError);
      expect(refused).toThrow(/config\.json, generation_config\.json/);
    }
  });

  it("has two texts that share no line of length", async () => {
    const calibration = await readFile(calibrationTextUrl(), "utf8");
    const evaluation = await readFile(evaluationTextUrl(), "utf8");
    expect(calibration.length).toBeGreaterThan(60_000);
    expect(evaluation.length).toBeGreaterThan(100_000);
    const known = new Set(longLines(calibration));
    expect(longLines(evaluation).filter((line) => known.has(line))).toEqual([]);
  });
});

describe("the model", () => {
  it("is a grouped-query llama whose head size is not hidden size over heads", async () => {
    expect(await json("config.json")).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      torch_dtype: "bfloat16",
      vocab_size: 1024,
      hidden_size: 192,
      num_hidden_layers: 6,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      head_dim: 32,
      intermediate_size: 512,
      max_position_embeddings: 1024,
      rope_theta: 10000,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
      bos_token_id: 0,
      eos_token_id: 0,
    });
  });

  it("has exactly the tensors of that config, in bfloat16", async () => {
    const shapes: Record<string, number[]> = {
      "self_attn.q_proj.weight": [256, 192],
      "self_attn.k_proj.weight": [128, 192],
      "self_attn.v_proj.weight": [128, 192],
      "self_attn.o_proj.weight": [192, 256],
      "mlp.gate_proj.weight": [512, 192],
      "mlp.up_proj.weight": [512, 192],
      "mlp.down_proj.weight": [192, 512],
      "input_layernorm.weight": [192],
      "post_attention_layernorm.weight": [192],
    };
    const expected: Record<string, { dtype: string; shape: number[] }> = {
      "model.embed_tokens.weight": { dtype: "BF16", shape: [1024, 192] },
      "model.norm.weight": { dtype: "BF16", shape: [192] },
    };
    for (let layer = 0; layer < 6; layer++) {
      for (const [name, shape] of Object.entries(shapes)) {
        expected[`model.layers.${layer}.${name}`] = { dtype: "BF16", shape };
      }
    }
    const header = await tensorHeader();
    expect(Object.keys(header).toSorted()).toEqual(Object.keys(expected).toSorted());
    for (const [name, entry] of Object.entries(expected)) {
      expect(header[name], name).toMatchObject(entry);
    }
  });
});

describe("the tokenizer", () => {
  it("is byte-level BPE over the whole vocabulary with the end of text at 0", async () => {
    const tokenizer = (await json("tokenizer.json")) as {
      model: { type: string; vocab: Record<string, number>; merges: unknown[] };
      pre_tokenizer: { type: string };
      decoder: { type: string };
    };
    expect(tokenizer.model.type).toBe("BPE");
    expect(tokenizer.pre_tokenizer.type).toBe("ByteLevel");
    expect(tokenizer.decoder.type).toBe("ByteLevel");
    const ids = Object.values(tokenizer.model.vocab).toSorted((a, b) => a - b);
    expect(ids).toEqual(Array.from({ length: 1024 }, (_, id) => id));
    expect(tokenizer.model.vocab["<|endoftext|>"]).toBe(0);
    // 1 special token, 256 bytes, the rest merges.
    expect(tokenizer.model.merges.length).toBe(1024 - 257);
    expect(await json("tokenizer_config.json")).toMatchObject({
      eos_token: "<|endoftext|>",
      add_bos_token: false,
    });
  });
});
