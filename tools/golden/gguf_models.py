"""GGUF twins of golden families, as llama.cpp's converter lays them out, to test reading models from GGUF.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    .venv/bin/python tools/golden/gguf_models.py packages/models/golden/{llama,qwen2,qwen3,deepseek-v3-experts}

Writes model.gguf into each folder. The llama architecture stores query and key rows in the interleaved rotary layout,
qwen2 and qwen3 in the half-split one; all hold float32 weights, so the logits of golden.safetensors must come out again.
DeepSeek folders, which are interleaved already, become deepseek2: kv_b_proj taken apart and its keys transposed, experts stacked.
"""

import json
import re
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.torch import load_file

LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
}
MODEL_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def gguf_name(name: str) -> str:
    if name in MODEL_NAMES:
        return MODEL_NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{LAYER_NAMES[part]}.{kind}"


def interleave(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of every head from re0, re1, …, im0, im1, … to re0, im0, re1, im1, …"""
    dim = rows.shape[0] // heads
    return rows.reshape(heads, 2, dim // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def write(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    arch = config["model_type"]
    deepseek = arch == "deepseek_v3"
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    writer = gguf.GGUFWriter(folder / "model.gguf", "deepseek2" if deepseek else arch)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(1 if deepseek else config["num_key_value_heads"])
    if not deepseek and "head_dim" in config and config["head_dim"] * config["num_attention_heads"] != config["hidden_size"]:
        writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    if deepseek:
        write_deepseek(writer, config, load_file(folder / "model.safetensors"))
        finish(writer)
        return
    for name, tensor in load_file(folder / "model.safetensors").items():
        values = tensor.float().numpy()
        projection = name.split(".")[-2]
        if arch == "llama" and projection in heads:
            values = interleave(values, heads[projection])
        writer.add_tensor(gguf_name(name), np.ascontiguousarray(values))
    finish(writer)


def write_deepseek(writer: gguf.GGUFWriter, config: dict, tensors: dict) -> None:
    rank, rope, nope, value = (config[key] for key in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_kv_lora_rank(rank)
    writer.add_q_lora_rank(config["q_lora_rank"] or 0)
    writer.add_key_length(rank + rope)
    writer.add_value_length(rank)
    writer.add_key_length_mla(nope + rope)
    writer.add_value_length_mla(value)
    writer.add_rope_dimension_count(rope)
    if config["first_k_dense_replace"] < config["num_hidden_layers"]:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
        writer.add_expert_shared_count(config["n_shared_experts"])
        writer.add_expert_count(config["n_routed_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
        writer.add_expert_weights_norm(config["norm_topk_prob"])
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    values = {name: tensor.float().numpy() for name, tensor in tensors.items()}
    for name, array in values.items():
        if name.endswith("e_score_correction_bias"):
            writer.add_tensor(f"blk.{name.split('.')[2]}.exp_probs_b.bias", array)
        elif name.endswith("kv_b_proj.weight"):
            layer = name.split(".")[2]
            heads = array.reshape(config["num_attention_heads"], nope + value, rank)
            writer.add_tensor(f"blk.{layer}.attn_k_b.weight", np.ascontiguousarray(heads[:, :nope].swapaxes(1, 2)))
            writer.add_tensor(f"blk.{layer}.attn_v_b.weight", np.ascontiguousarray(heads[:, nope:]))
        elif ".mlp.experts." in name:
            head, expert, part = re.fullmatch(r"(.*)\.experts\.(\d+)\.(.*)", name).groups()
            if expert == "0":
                stack = [values[f"{head}.experts.{index}.{part}"] for index in range(config["n_routed_experts"])]
                short = part.removesuffix("_proj.weight")
                writer.add_tensor(f"blk.{name.split('.')[2]}.ffn_{short}_exps.weight", np.stack(stack))
        else:
            writer.add_tensor(gguf_name(name), array)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


for argument in sys.argv[1:]:
    write(Path(argument))
