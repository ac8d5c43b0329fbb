"""Compares our logits of a folder in the DeepSeek layout with those of stock Hugging Face transformers, or makes golden ones.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    npx transmla convert sample ./sample-stock --format deepseek --dtype f32
    node tools/deepseek/logits.mjs ./sample-stock ours.safetensors
    .venv/bin/python tools/deepseek/compare.py ./sample-stock ours.safetensors
    .venv/bin/python tools/deepseek/compare.py ./folder --golden    # writes ./folder/golden.safetensors

The folder is loaded without custom code (trust_remote_code stays off), in float32 unless told otherwise, with eager attention. Any weight that the stock class
would make up or leave out fails the comparison. Exit status 1 if the largest difference exceeds 1e-3 of the largest logit.
"""

import argparse
import platform
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

LIMIT = 1e-3


def load(folder, dtype=torch.float32):
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    assert type(model).__module__.startswith("transformers."), type(model)
    problems = {key: found for key, found in report.items() if found}
    assert not problems, problems
    return model.eval()


@torch.no_grad()
def logits(model, ids):
    return model(ids, use_cache=False).logits.float()


@torch.no_grad()
def cached_logits(model, ids):
    """The second half token by token from the stock cache."""
    half = ids.shape[1] // 2
    first = model(ids[:, :half], use_cache=True)
    parts, past = [first.logits], first.past_key_values
    for at in range(half, ids.shape[1]):
        step = model(ids[:, at : at + 1], past_key_values=past, use_cache=True)
        parts.append(step.logits)
        past = step.past_key_values
    return torch.cat(parts, dim=1).float()


def write_golden(folder):
    model = load(folder)
    ids = torch.randint(0, model.config.vocab_size, (1, 70), generator=torch.Generator().manual_seed(3))
    save_file({"input_ids": ids, "logits": logits(model, ids).contiguous()}, Path(folder) / "golden.safetensors")


def compare(folder, ours, dtype):
    ours = load_file(ours)
    ids, mine = ours["input_ids"].long(), ours["logits"]
    model = load(folder, dtype)
    print(f"{type(model).__module__}.{type(model).__name__}; transformers {transformers.__version__}, torch {torch.__version__}, Python {platform.python_version()}")
    worst = 0.0
    for name, stock in [("one pass", logits(model, ids)), ("from its cache", cached_logits(model, ids))]:
        error = ((mine - stock).abs().max() / stock.abs().max()).item()
        mean = ((mine - stock).norm() / stock.norm()).item()
        same = (mine.argmax(-1) == stock.argmax(-1)).float().mean().item()
        print(f"{name}: largest {error:.1e} of the largest logit, relative norm {mean:.1e}, same next token {100 * same:.1f} %, {ids.shape[1]} tokens")
        worst = max(worst, error)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("ours", nargs="?", help="written by logits.mjs")
    parser.add_argument("--dtype", default="float32", help="in which the stock class computes; the limit is meant for float32")
    parser.add_argument("--golden", action="store_true", help="write golden.safetensors into the folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.golden:
        write_golden(arguments.folder)
    elif compare(arguments.folder, arguments.ours, getattr(torch, arguments.dtype)) > LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
