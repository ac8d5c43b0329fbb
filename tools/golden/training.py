"""Golden values of training: three steps of AdamW in PyTorch on the tiny golden checkpoints, and derivatives in float64.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    .venv/bin/python tools/golden/training.py --models packages/models/golden --out packages/training/golden

Each checkpoint becomes NAME.json:

    ids          documents of one batch; every token but the first is predicted within its own document
    settings     of torch.optim.AdamW (matrices decay, vectors do not) and the norm that gradients are clipped to
    losses       mean cross-entropy before each of three steps in float32, and after the last
    norms        norm of all gradients before each step
    derivatives  [tensor, index, derivative]: central differences in float64 of the loss at the beginning
"""

import argparse
import contextlib
import json
import random
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

NAMES = ["llama", "llama-tied", "llama-bias", "qwen3", "mistral-window", "gemma2", "deepseek-v3", "deepseek-v3-q-lora"]
SETTINGS = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
CLIP = 1.0
STEP = 1e-5
PLACES = 2


def documents(vocabulary: int) -> list[list[int]]:
    rng = random.Random(7)
    return [[rng.randrange(vocabulary) for _ in range(length)] for length in (24, 9, 2)]


def mean_loss(model, batch) -> torch.Tensor:
    total, count = 0, 0
    for ids in batch:
        tokens = torch.tensor([ids])
        logits = model(tokens[:, :-1]).logits[0]
        total = total + torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="sum")
        count += len(ids) - 1
    return total / count


def three_steps(folder: Path, batch) -> tuple[list[float], list[float]]:
    model = load(folder, torch.float32)
    groups = [
        dict(params=[p for p in model.parameters() if p.dim() > 1]),
        dict(params=[p for p in model.parameters() if p.dim() == 1], weight_decay=0.0),
    ]
    optimiser = torch.optim.AdamW(groups, **SETTINGS)
    losses, norms = [], []
    for _ in range(3):
        loss = mean_loss(model, batch)
        optimiser.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        optimiser.step()
        losses.append(float(loss))
    losses.append(float(mean_loss(model, batch)))
    return losses, norms


def derivatives(folder: Path, batch) -> list:
    model = load(folder, torch.float64)
    rng = random.Random(11)
    found = []
    with torch.no_grad(), nothing_in_float32():
        for name, parameter in model.named_parameters():
            flat = parameter.view(-1)
            for index in rng.sample(range(flat.numel()), PLACES):
                value = float(flat[index])
                flat[index] = value + STEP
                above = float(mean_loss(model, batch))
                flat[index] = value - STEP
                below = float(mean_loss(model, batch))
                flat[index] = value
                found.append([name, index, (above - below) / (2 * STEP)])
    return found


@contextlib.contextmanager
def nothing_in_float32():
    """The library's norms and softmaxes go through float32 whatever the model's type, which differences do not forgive."""
    single, to_single = torch.float32, torch.Tensor.float
    torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.Tensor.float = single, to_single


def load(folder: Path, dtype: torch.dtype):
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", torch_dtype=torch.float32)
    return model.to(dtype).train()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in NAMES:
        folder = arguments.models / name
        batch = documents(json.loads((folder / "config.json").read_text())["vocab_size"])
        losses, norms = three_steps(folder, batch)
        values = dict(
            ids=batch,
            settings=dict(rate=SETTINGS["lr"], betas=SETTINGS["betas"], epsilon=SETTINGS["eps"],
                          weightDecay=SETTINGS["weight_decay"], clip=CLIP),
            losses=losses,
            norms=norms,
            derivatives=derivatives(folder, batch),
        )
        lines = json.dumps(values).replace('"derivatives": [', '"derivatives": [\n').replace("], [\"", "],\n[\"")
        (arguments.out / f"{name}.json").write_text(lines + "\n")
        print(name, [round(loss, 6) for loss in losses], [round(norm, 4) for norm in norms])


if __name__ == "__main__":
    main()
