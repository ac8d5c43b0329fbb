"""Continues the training of a converted model in stock Hugging Face transformers, on one device or, by accelerate, on many.

    transmla convert ./model ./mla --format deepseek --calibration book.txt
    python continue_training.py ./mla ./mla-trained --text book.txt --steps 200
    accelerate launch continue_training.py ./mla ./mla-trained --text book.txt --steps 200
    transmla evaluate ./mla-trained --text other.txt

The folder is an ordinary DeepseekV3ForCausalLM: nothing here knows of this project. With --teacher (a model of the same
tokenizer, usually the unconverted one) the loss is the divergence from its logits. What is written is read back as it is.
"""

import argparse
import contextlib
import json
import math
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

try:
    from accelerate import Accelerator
except ImportError:
    Accelerator = None

# What goes beside the weights and is not the library's to rewrite.
COMPANIONS = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"]
# The norm of the latent is neutral in a converted model (docs/formats/deepseek.md): its weights undo its division.
FROZEN = ("kv_a_layernorm",)


def windows(folder: Path, text: Path, context: int) -> torch.Tensor:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ids = tokenizer(text.read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    count = len(ids) // context
    if count == 0:
        raise SystemExit(f"{text} has {len(ids)} tokens, fewer than a window of {context}.")
    return torch.tensor(ids[: count * context]).view(count, context)


def loss_of(model, teacher, ids: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids).logits[:, :-1].float()
    if teacher is None:
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    with torch.no_grad():
        wanted = teacher(input_ids=ids).logits[:, :-1].float()
    student, target = (torch.log_softmax(values, -1).flatten(0, 1) for values in (logits, wanted))
    return torch.nn.functional.kl_div(student, target, log_target=True, reduction="batchmean")


def rate_at(step: int, arguments) -> float:
    if step < arguments.warmup:
        return (step + 1) / (arguments.warmup + 1)
    progress = (step - arguments.warmup) / max(1, arguments.steps - 1 - arguments.warmup)
    return 0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4, help="windows of a step, on each process")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-5)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if (arguments.out / "config.json").exists():
        raise SystemExit(f"{arguments.out} already holds a model; choose another folder.")
    torch.manual_seed(arguments.seed)

    accelerator = Accelerator() if Accelerator else None
    model = AutoModelForCausalLM.from_pretrained(arguments.model, torch_dtype=torch.float32).train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(part in name for part in FROZEN))
    teacher = None
    if arguments.teacher:
        teacher = AutoModelForCausalLM.from_pretrained(arguments.teacher, torch_dtype=torch.float32).eval()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=arguments.rate, betas=(0.9, 0.95), weight_decay=0.0)
    data = torch.utils.data.DataLoader(
        windows(arguments.model, arguments.text, arguments.context), batch_size=arguments.batch, shuffle=True
    )
    if accelerator:
        model, optimiser, data = accelerator.prepare(model, optimiser, data)
        teacher = teacher.to(accelerator.device) if teacher else None
    is_main = accelerator is None or accelerator.is_main_process

    step = 0
    while step < arguments.steps:
        for ids in data:
            for group in optimiser.param_groups:
                group["lr"] = arguments.rate * rate_at(step, arguments)
            loss = loss_of(model, teacher, ids)
            accelerator.backward(loss) if accelerator else loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            if is_main:
                print(json.dumps({"step": step, "loss": loss.item()}), flush=True)
            if step == arguments.steps:
                break

    if accelerator:
        accelerator.wait_for_everyone()
        model = accelerator.unwrap_model(model)
    if is_main:
        save(model, arguments.model, arguments.out)


def save(model, source: Path, out: Path) -> None:
    """Weights and config by the library, in the element type the folder had."""
    named = json.loads((source / "config.json").read_text()).get("torch_dtype") or "float32"
    model.to(getattr(torch, named)).save_pretrained(out, safe_serialization=True)
    for name in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(source / name, out / name)


if __name__ == "__main__":
    main()
