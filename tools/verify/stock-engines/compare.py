"""Loads folders in the DeepSeek layout in stock Hugging Face transformers: compares its logits with ours, or makes golden ones.

    .venv/bin/python tools/verify/stock-engines/compare.py --rows rows.json          # what main.mjs wrote; it calls this itself
    .venv/bin/python tools/verify/stock-engines/compare.py --golden ./folder         # writes ./folder/golden.safetensors

Folders are loaded without custom code (trust_remote_code stays off), in float32 unless told otherwise, with eager attention. Any weight that the stock class
would make up or leave out fails the comparison. Exit status 1 if a largest difference exceeds 2e-3 of the largest logit.
"""

import argparse
import json
import platform
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

LIMIT = 2e-3


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
    """Class name, and largest differences relative to the largest logit: in one pass, and from the stock cache."""
    ours = load_file(ours)
    ids, mine = ours["input_ids"].long(), ours["logits"]
    model = load(folder, dtype)
    errors = [((mine - stock).abs().max() / stock.abs().max()).item() for stock in (logits(model, ids), cached_logits(model, ids))]
    return type(model).__name__, errors


def compare_all(rows, dtype):
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, Python {platform.python_version()}, {dtype}")
    print("| model | format | stock class | one pass | from its cache |\n|---|---|---|---|---|")
    worst = 0.0
    for row in rows:
        if "refused" in row:
            print(f"| {row['name']} | `{row['format']}` | refused: {row['refused']} | | |", flush=True)
            continue
        name, errors = compare(row["path"], row["logits"], getattr(torch, dtype))
        worst = max(worst, *errors)
        print(f"| {row['name']} | `{row['format']}` | {name} | {errors[0]:.1e} | {errors[1]:.1e} |", flush=True)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help="JSON that main.mjs wrote")
    parser.add_argument("--golden", help="a folder to write golden.safetensors into")
    parser.add_argument("--dtype", default="float32", help="in which the stock class computes; the limit is meant for float32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.golden:
        write_golden(arguments.golden)
    elif compare_all(json.loads(Path(arguments.rows).read_text()), arguments.dtype) > LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
