"""Golden values of the model families: tiny random checkpoints and what Hugging Face transformers computes with them.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    .venv/bin/python tools/golden/families.py --out packages/models/golden [family ...]

Each family becomes a folder with config.json, its weights (model.safetensors, or shards with their index) and
golden.safetensors, computed in float32 with eager attention:

    input_ids       I64 [1, 24]
    logits          F32 [1, 24, vocabulary]
    hidden.L        F32 [1, 24, hidden]  residual stream before layer L (hidden.0 is the embedding);
                                         the last one, hidden.<layers>, is after the final norm
    attention.L     F32 [1, 24, hidden]  output of the attention block of layer L, before the residual addition
    long.input_ids  I64 [1, 70]          more tokens than a cache page of 64 holds
    long.logits     F32 [1, 70, vocabulary]

Weights are scaled so that attention is far from uniform and every bias and norm weight matters. A family may name an
ablation: changed settings, each of which alone must change the logits, so that a reader which ignores one fails its test.
"""

import argparse
import copy
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DeepseekV2Config,
    DeepseekV3Config,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

VOCABULARY = 96
SHORT, LONG = 24, 70

GROUPED = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    tie_word_embeddings=False,
    bos_token_id=0,
    eos_token_id=0,
)

LATENT = GROUPED | dict(
    num_key_value_heads=4,
    first_k_dense_replace=2,
    kv_lora_rank=16,
    q_lora_rank=None,
    qk_rope_head_dim=8,
    qk_nope_head_dim=8,
    v_head_dim=8,
    rope_interleave=True,
    rope_scaling=None,
    pad_token_id=None,
)

YARN = dict(rope_type="yarn", factor=4.0, mscale=0.7, mscale_all_dim=0.7, beta_fast=32, beta_slow=1, original_max_position_embeddings=64)
EXPERTS = dict(
    first_k_dense_replace=1,
    moe_intermediate_size=16,
    n_routed_experts=8,
    n_shared_experts=2,
    num_experts_per_tok=3,
    n_group=4,
    topk_group=2,
)
LLAMA3_ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)


@dataclass
class Family:
    config: PretrainedConfig
    dtype: torch.dtype = torch.float32
    seed_name: str | None = None  # families of one seed name and one shape have the same weights
    shard_size: str = "1MB"
    ablation: dict = field(default_factory=dict)
    # What is changed in the folder once the golden values are made: config fields, and tensors that readers must pass over.
    config_patch: dict = field(default_factory=dict)
    extra_tensors: dict = field(default_factory=dict)


FAMILIES = {
    "llama": Family(LlamaConfig(**GROUPED), ablation=dict(rope_theta=500.0)),
    "llama-sharded": Family(LlamaConfig(**GROUPED), seed_name="llama", shard_size="40KB"),
    # Wavelengths 6.3, 13.7, 29.7, 64.6, ... against the bounds 32 / 4 = 8 and 32 / 1 = 32: kept, blended and divided.
    "llama-llama3-rope": Family(
        LlamaConfig(**GROUPED | dict(head_dim=16, rope_theta=500.0, rope_scaling=LLAMA3_ROPE)),
        ablation=dict(rope_scaling=None),
    ),
    "llama-linear-rope": Family(
        LlamaConfig(**GROUPED | dict(rope_scaling=dict(rope_type="linear", factor=4.0))),
        ablation=dict(rope_scaling=None),
    ),
    "llama-tied": Family(
        LlamaConfig(**GROUPED | dict(hidden_size=48, head_dim=16, tie_word_embeddings=True, rms_norm_eps=1e-3)),
        dtype=torch.bfloat16,
        ablation=dict(rms_norm_eps=1e-5),
    ),
    "llama-bias": Family(LlamaConfig(**GROUPED | dict(attention_bias=True, mlp_bias=True))),
    "qwen2": Family(
        Qwen2Config(**GROUPED | dict(rope_theta=1000000.0, rms_norm_eps=1e-6)),
        dtype=torch.bfloat16,
        ablation=dict(rope_theta=10000.0),
    ),
    "mistral": Family(MistralConfig(**GROUPED | dict(head_dim=8, sliding_window=None))),
    "mistral-window": Family(
        MistralConfig(**GROUPED | dict(head_dim=8, sliding_window=16)),
        seed_name="mistral",
        ablation=dict(sliding_window=17),
    ),
    "mixtral": Family(
        MixtralConfig(**GROUPED | dict(head_dim=8, intermediate_size=40, num_local_experts=4, num_experts_per_tok=2, sliding_window=None)),
        dtype=torch.float16,
        seed_name="mixtral-2",  # weights under which no token's second and third expert are nearly tied
        ablation=dict(num_experts_per_tok=1),
    ),
    "qwen3": Family(Qwen3Config(**GROUPED | dict(head_dim=16, rope_theta=1000000.0, rms_norm_eps=1e-2)), ablation=dict(rms_norm_eps=1e-6)),
    "qwen3-window": Family(
        Qwen3Config(**GROUPED | dict(head_dim=8, use_sliding_window=True, sliding_window=8, max_window_layers=1)),
        ablation=dict(sliding_window=9),
    ),
    # Four layers, of which the last one knows no positions; then two, of which the first one does not.
    "smollm3": Family(SmolLM3Config(**GROUPED | dict(num_hidden_layers=4, pad_token_id=0)), ablation=dict(no_rope_layers=[1, 1, 1, 1])),
    "smollm3-listed": Family(
        SmolLM3Config(**GROUPED | dict(no_rope_layers=[0, 1], use_sliding_window=True, sliding_window=8, pad_token_id=0)),
        ablation=dict(no_rope_layers=[1, 0]),
    ),
    # MiMo is Qwen2 with layers for predicting several tokens at once; its class is not part of transformers.
    "mimo": Family(
        Qwen2Config(**GROUPED | dict(rope_theta=640000.0)),
        config_patch=dict(model_type="mimo", architectures=["MiMoForCausalLM"], num_nextn_predict_layers=1),
        extra_tensors={"model.mtp_layers.0.input_proj.weight": torch.ones(32, 64)},
    ),
    # A window in layers 0 and 2, caps so low that most logits feel them, a scale that is not that of the head.
    "gemma2": Family(
        Gemma2Config(
            **GROUPED
            | dict(
                num_hidden_layers=3,
                head_dim=16,
                query_pre_attn_scalar=24,
                sliding_window=16,
                attn_logit_softcapping=3.0,
                final_logit_softcapping=5.0,
                tie_word_embeddings=True,
                rms_norm_eps=1e-2,
            )
        ),
        dtype=torch.bfloat16,
        ablation=dict(
            query_pre_attn_scalar=16,
            sliding_window=17,
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            hidden_activation="silu",
            layer_types=["full_attention", "sliding_attention", "full_attention"],
            rms_norm_eps=1e-6,
        ),
    ),
    "deepseek-v3": Family(DeepseekV3Config(**LATENT), ablation=dict(rope_interleave=False)),
    "deepseek-v3-q-lora": Family(DeepseekV3Config(**LATENT | dict(q_lora_rank=24, kv_lora_rank=20))),
    "deepseek-v3-half-split": Family(DeepseekV3Config(**LATENT | dict(rope_interleave=False)), seed_name="deepseek-v3"),
    # Frequencies 0 kept, 1 halfway, 2 and 3 divided; mscale_all_dim on the softmax scale.
    "deepseek-v3-yarn": Family(DeepseekV3Config(**LATENT | dict(rope_scaling=YARN)), ablation=dict(rope_scaling=None)),
    "deepseek-v2": Family(DeepseekV2Config(**LATENT | dict(attention_bias=True, q_lora_rank=24, mlp_bias=True, n_group=1, topk_group=1, num_experts_per_tok=1))),
    "deepseek-v3-experts": Family(DeepseekV3Config(**LATENT | EXPERTS), ablation=dict(topk_group=3)),
    "deepseek-v2-experts": Family(
        DeepseekV2Config(**LATENT | EXPERTS | dict(topk_method="group_limited_greedy", routed_scaling_factor=2.0, n_shared_experts=1)),
        ablation=dict(topk_method="greedy"),
    ),
    # rms_norm_eps is large so that a latent norm which uses it, in place of the constant 1e-6, is found out.
    "deepseek-v3-bias": Family(
        DeepseekV3Config(**LATENT | dict(attention_bias=True, qk_nope_head_dim=12, v_head_dim=10, rms_norm_eps=1e-2)),
        ablation=dict(rms_norm_eps=1e-6),
    ),
}


def random_weight(name, parameter, generator):
    """Norm weights around what they start from (1, or 0 where the model adds 1), biases around 0, matrices with a gain that keeps activations of order one."""
    noise = torch.randn(parameter.shape, generator=generator)
    if parameter.ndim == 1:
        return parameter + 0.2 * noise if "norm" in name else 0.3 * noise
    if "embed_tokens" in name:
        return 0.5 * noise
    gain = 1.7 if any(part in name for part in ("q_proj", "q_b_proj", "k_proj", "kv_b_proj", "gate")) else 1.0
    return gain * parameter.shape[1] ** -0.5 * noise


@torch.no_grad()
def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        parameter.copy_(random_weight(name, parameter, generator))
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.copy_(0.2 * torch.rand(buffer.shape, generator=generator))


def token_ids(length, seed):
    return torch.randint(0, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def outputs(model, ids):
    """logits, hidden states and attention outputs of one forward pass."""
    attention = []
    handles = [layer.self_attn.register_forward_hook(lambda _module, _inputs, output: attention.append(output[0])) for layer in model.model.layers]
    result = model(ids, use_cache=False, output_hidden_states=True)
    for handle in handles:
        handle.remove()
    return result.logits, result.hidden_states, attention


def load(folder, config=None):
    config = config or AutoConfig.from_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32, attn_implementation="eager").eval()


def golden_values(folder):
    model, short, long = load(folder), token_ids(SHORT, 1), token_ids(LONG, 2)
    logits, hidden, attention = outputs(model, short)
    values = {"input_ids": short, "logits": logits, "long.input_ids": long, "long.logits": outputs(model, long)[0]}
    values |= {f"hidden.{index}": tensor for index, tensor in enumerate(hidden)}
    values |= {f"attention.{index}": tensor for index, tensor in enumerate(attention)}
    return {name: tensor.contiguous() for name, tensor in values.items()}


def ablation_effect(folder, ablation, golden):
    """Largest change of a logit when one of the settings named by the ablation is changed: of the setting that changes least."""
    effects = []
    for name, value in ablation.items():
        config = AutoConfig.from_pretrained(folder)
        setattr(config, name, value)
        effects.append((outputs(load(folder, config), golden["input_ids"])[0] - golden["logits"]).abs().max().item())
    return min(effects)


def write_family(name, family, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.safetensors*"):
        stale.unlink()
    # zlib.crc32 is the same in every run, unlike hash().
    model = AutoModelForCausalLM.from_config(copy.deepcopy(family.config))
    randomise(model, zlib.crc32((family.seed_name or name).encode()))
    model.to(family.dtype).save_pretrained(folder, max_shard_size=family.shard_size)
    (folder / "generation_config.json").unlink(missing_ok=True)
    golden = golden_values(folder)
    save_file(golden, folder / "golden.safetensors")
    summary = f"{name}: logits std {golden['logits'].std():.2f}"
    if family.ablation:
        effect = ablation_effect(folder, family.ablation, golden)
        assert effect > 1e-2, f"{name}: {family.ablation} changes the logits by {effect} only"
        summary += f", {family.ablation} changes them by {effect:.3f} or more"
    patch(folder, family)
    print(summary)


def patch(folder, family):
    if family.config_patch:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | family.config_patch, indent=2, sort_keys=True) + "\n")
    if family.extra_tensors:
        path = folder / "model.safetensors"
        save_file(load_file(path) | family.extra_tensors, path, metadata={"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("families", nargs="*", choices=[*FAMILIES, []], help="all when none is named")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.families or FAMILIES:
        write_family(name, FAMILIES[name], Path(arguments.out) / name)


if __name__ == "__main__":
    main()
