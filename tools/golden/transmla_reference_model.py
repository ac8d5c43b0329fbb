"""Train the tiny character model on which the reference TransMLA implementation is run.

    .venv/bin/python tools/golden/transmla_reference_model.py --text tinyshakespeare.txt \\
        --out packages/conversion/golden/transmla-reference

A llama of two layers (hidden size 64, 8 query heads, 4 key/value heads of 16), one token per character, trained on the
first 84 % of the text. Writes config.json, model.safetensors (bfloat16) and tokens.safetensors:

    calibration_ids  U8 [16, 128]  windows from the training part
    evaluation_ids   U8 [16, 128]  windows from the last 10 %

A token id is the index of the character among the sorted distinct characters of the text.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

WINDOW = 128
SEQUENCES = 16


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def create_model(vocabulary):
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=16,
            intermediate_size=128,
            max_position_embeddings=256,
            rope_theta=100.0,  # every frequency turns within a window, so that position matters everywhere
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )


def train(model, ids, steps):
    """AdamW, 32 windows a step, warm-up and half cosine."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min((step + 1) / 100, 0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
        starts = torch.randint(0, len(ids) - WINDOW, (32,)).tolist()
        windows = torch.stack([ids[s : s + WINDOW + 1] for s in starts])
        logits = model(windows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 250 == 0:
            print(f"step {step + 1} loss {loss.item():.4f}", flush=True)


def evenly_spaced_windows(ids):
    """[SEQUENCES, WINDOW]"""
    stride = (len(ids) - WINDOW) // (SEQUENCES - 1)
    return torch.stack([ids[i * stride : i * stride + WINDOW] for i in range(SEQUENCES)])


def main():
    arguments = parse_arguments()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    text = Path(arguments.text).read_text(encoding="utf-8")
    alphabet = sorted(set(text))
    ids = torch.tensor([alphabet.index(character) for character in text])
    training, held_out = ids[: int(0.84 * len(ids))], ids[int(0.90 * len(ids)) :]

    model = create_model(len(alphabet))
    train(model, training, arguments.steps)

    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_diff_dict() | {"architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16"}
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tokens = {"calibration_ids": evenly_spaced_windows(training), "evaluation_ids": evenly_spaced_windows(held_out)}
    save_file({name: tensor.to(torch.uint8) for name, tensor in tokens.items()}, out / "tokens.safetensors")


if __name__ == "__main__":
    main()
