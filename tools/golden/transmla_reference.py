"""Golden values of the reference TransMLA implementation (github.com/MuLabPKU/TransMLA, folder TransMLA_NeurIPS_2025).

    python3 -m venv .venv-reference && .venv-reference/bin/pip install -r tools/golden/requirements-reference.txt
    git clone https://github.com/MuLabPKU/TransMLA reference-transmla    # values were made at commit cdd6f8e
    .venv-reference/bin/python tools/golden/transmla_reference.py --reference reference-transmla \\
        --golden packages/conversion/golden/transmla-reference

Runs the reference's own `partial_rope` and `low_rank_qkv`, in float32, on the checkpoint and the token ids that
transmla_reference_model.py left in the golden folder, once per setting below. Writes reference.json and
reference.safetensors; the README of the golden folder says what is in them and how they may be compared.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

BATCH = 8
LOGIT_ROWS = 8


@dataclass
class Setting:
    name: str
    kv_lora_rank: int
    qk_mqa_dim: int
    freqfold: int
    q_lora_rank: int | None = None
    balance_kv_ratio: float = 1.0


SETTINGS = [
    Setting("r96-rope16-fold1", kv_lora_rank=96, qk_mqa_dim=16, freqfold=1),
    Setting("r48-rope8-fold2", kv_lora_rank=48, qk_mqa_dim=8, freqfold=2),
    Setting("r32-rope8-fold4", kv_lora_rank=32, qk_mqa_dim=8, freqfold=4),
    Setting("r24-rope4-fold8", kv_lora_rank=24, qk_mqa_dim=4, freqfold=8),
    Setting("r12-rope16-fold2", kv_lora_rank=12, qk_mqa_dim=16, freqfold=2),
    Setting("r48-rope8-fold2-q24", kv_lora_rank=48, qk_mqa_dim=8, freqfold=2, q_lora_rank=24),
]
EFFECTIVE_MAP_OF = "r12-rope16-fold2"  # the setting whose rank costs most; its first layer is enough


def import_reference(folder):
    """The reference's modules import each other by bare name, so their folder goes on the path."""
    sys.path.insert(0, str(Path(folder) / "TransMLA_NeurIPS_2025" / "transmla"))
    import lora_qkv
    import partial_rope
    import utils

    return SimpleNamespace(lora_qkv=lora_qkv, partial_rope=partial_rope, utils=utils)


def batches(ids):
    return [{"input_ids": piece, "attention_mask": torch.ones_like(piece)} for piece in ids.long().split(BATCH)]


# ---------------------------------------------------------------- observing the reference


def record_second_moments(lora_qkv):
    """Replaces the reference's `pca_calc` by itself plus a note of the spectrum it diagonalises, before damping."""
    original, spectra = lora_qkv.pca_calc, []

    def recording(samples, device):
        moment = sum((batch.double().mT @ batch.double()).sum(0) for batch in samples)
        spectra.append(torch.linalg.eigvalsh(moment).flip(0))
        return original(samples, device)

    lora_qkv.pca_calc = recording
    return spectra


def balance_over_all_values(lora_qkv):
    """A variant, to measure a detail: the value norm taken over all columns, where the reference skips the first d_rope."""
    original = lora_qkv.LoraQKV

    def balanced(attention, query, key, value, **settings):
        norms = torch.cat([batch.flatten(0, 1) for batch in value]).norm(dim=0)
        correction = (norms.mean() / norms[settings["qk_mqa_dim"] :].mean()).item()
        settings["balance_kv_ratio"] *= correction
        return original(attention, query, key, value, **settings)

    lora_qkv.LoraQKV = balanced
    return original


# ---------------------------------------------------------------- what is kept of a converted layer


def layer_values(attention, rank):
    """All of these are free of the signs and rotations that an eigendecomposition leaves open, but for the RoPE rows' signs."""
    down = attention.kv_a_proj_with_mqa.weight.data.double()
    latent, rope = down[:rank], down[rank:]
    return {
        "latent_gram": latent.T @ latent,
        "latent_singular_values": torch.linalg.svdvals(latent),
        "rope_key_rows": rope,
    }


def effective_map(attention, rank):
    """[2 * kv heads * head dim, hidden]: what the latent reproduces of the position-free keys and the values, per kv head.

    Query heads of one group have equal up-projections, so the first of each group is kept.
    """
    heads, size = attention.num_attention_heads, attention.head_dim
    group = heads * size // attention.latent_dim
    down = attention.kv_a_proj_with_mqa.weight.data.double()[:rank]
    both = (attention.kv_b_proj.weight.data.double() @ down).view(heads, 2, size, -1)[::group]
    return both.transpose(0, 1).reshape(2 * attention.latent_dim, -1)


# ---------------------------------------------------------------- one conversion


def load(folder):
    return LlamaForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="sdpa").eval()


@torch.no_grad()
def convert(reference, folder, tokens, setting):
    """Returns (json entry, tensors, converted model)."""
    no_padding = SimpleNamespace(pad_token_id=None)
    calibration, evaluation = batches(tokens["calibration_ids"]), batches(tokens["evaluation_ids"])

    def perplexity(model):
        return reference.utils.evaluate_ppl(model, None, evaluation)

    model = load(folder)
    collapse = model.config.head_dim // setting.qk_mqa_dim
    entry = asdict(setting) | {"collapse": collapse, "original_perplexity": perplexity(model)}

    model = reference.partial_rope.partial_rope(model, no_padding, calibration, None, freqfold=setting.freqfold, collapse=collapse)
    entry["partial_rope_perplexity"] = perplexity(model)
    partial = [layer.self_attn for layer in model.model.layers]
    keys_before = [attention.k_proj.weight.data[setting.qk_mqa_dim :].clone() for attention in partial]

    options = asdict(setting) | {"collapse": collapse, "use_qkv_norm": False}
    model = reference.lora_qkv.low_rank_qkv(model, no_padding, calibration, None, **options)
    entry["final_perplexity"] = perplexity(model)
    entry["balance_ratios"] = [
        (before.norm() / attention.k_proj.weight.data[setting.qk_mqa_dim :].norm()).item()
        for before, attention in zip(keys_before, partial)
    ]
    # Query compression leaves keys and values as they are without it: their values are not stored twice.
    tensors = {
        f"{setting.name}.{name}.{index}": tensor
        for index, layer in enumerate(model.model.layers if setting.q_lora_rank is None else [])
        for name, tensor in layer_values(layer.self_attn, setting.kv_lora_rank).items()
    }
    logits = model(tokens["evaluation_ids"][:1].long(), use_cache=False).logits
    tensors[f"{setting.name}.logits"] = logits[0, -LOGIT_ROWS:]
    return entry, tensors, model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True, help="checkout of the reference repository")
    parser.add_argument("--golden", required=True, help="golden folder with the checkpoint and tokens.safetensors")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reference, folder = import_reference(arguments.reference), Path(arguments.golden)
    tokens = load_file(folder / "tokens.safetensors")
    spectra = record_second_moments(reference.lora_qkv)

    entries, tensors = [], {}
    for setting in SETTINGS:
        spectra.clear()
        entry, values, model = convert(reference, folder, tokens, setting)
        tensors |= values
        # With query compression every layer's query moment is diagonalised before its key/value moment.
        kinds = ["joint_spectrum"] if setting.q_lora_rank is None else ["query_spectrum", "joint_spectrum"]
        for position, spectrum in enumerate(spectra):
            index, kind = divmod(position, len(kinds))
            tensors[f"{setting.name}.{kinds[kind]}.{index}"] = spectrum
        if setting.name == EFFECTIVE_MAP_OF:
            tensors[f"{setting.name}.effective_map.0"] = effective_map(model.model.layers[0].self_attn, setting.kv_lora_rank)
        original = balance_over_all_values(reference.lora_qkv)
        entry["final_perplexity_if_balanced_over_all_values"] = convert(reference, folder, tokens, setting)[0]["final_perplexity"]
        reference.lora_qkv.LoraQKV = original
        entries.append(entry)
        print(json.dumps(entry))

    assert all(math.isfinite(entry["final_perplexity"]) for entry in entries)
    (folder / "reference.json").write_text(json.dumps({"settings": entries}, indent=2) + "\n")
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, folder / "reference.safetensors")


if __name__ == "__main__":
    main()
