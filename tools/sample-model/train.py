"""Train the embedded sample model: a small LLaMA with grouped-query attention, its tokenizer and its texts.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    .venv/bin/python tools/sample-model/train.py --text tinyshakespeare.txt --out packages/sample-model

The text is "tiny shakespeare" (1,115,394 bytes, public domain), split by position at paragraph breaks:

    training    first 84 %   the tokenizer and the weights see only this
    calibration next   6 %   shipped; its first half chooses the best checkpoint
    evaluation  last  10 %   shipped; nothing is fitted to or chosen by it

`--out` receives model/ (config.json, generation_config.json, model.safetensors, tokenizer.json,
tokenizer_config.json) and text/ (calibration.txt, evaluation.txt), each file replaced atomically, the
model whenever the validation loss has improved.

What came out (seed 1, torch 2.6.0, one core with bfloat16 matrix instructions, shared with other work):
43 minutes; 383,339 training tokens; best validation loss 3.0681 at step 1100 of 1600, after which the model
overfits (loss on training windows 2.4, validation 3.10 at the end); evaluation perplexity 42.385.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 1024
END_OF_TEXT = "<|endoftext|>"
# A conversation looks like the scenes that the model has read.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role | upper }}:\n{{ message.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:\n{% endif %}"
)
CONTEXT = 1024
WINDOW = 512


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="the training text, UTF-8")
    parser.add_argument("--out", required=True, help="folder that receives model/ and text/")
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--tokens-per-step", type=int, default=4096)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.1, help="on the embedding and on every residual branch")
    parser.add_argument("--average", type=float, default=0.995, help="decay of the exponential average of the weights")
    parser.add_argument("--evaluate-every", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


# ---------------------------------------------------------------- texts and tokenizer


def split_text(text):
    """Cuts at the first paragraph break at or after 84 % and 90 % of the text."""

    def paragraph_break(fraction):
        return text.index("\n\n", int(fraction * len(text))) + 2

    first, second = paragraph_break(0.84), paragraph_break(0.90)
    return text[:first], text[first:second], text[second:]


def train_tokenizer(text):
    """Byte-level BPE (the GPT-2 alphabet and splitting), END_OF_TEXT at id 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def token_ids(tokenizer, text):
    return torch.tensor(tokenizer.encode(text).ids)


# ---------------------------------------------------------------- model


def create_model():
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        intermediate_size=512,
        max_position_embeddings=CONTEXT,
        rope_theta=10000.0,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    # Branches that write to the residual stream start smaller, so that its variance does not grow with depth.
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_((2 * config.num_hidden_layers) ** -0.5)
            layer.mlp.down_proj.weight.mul_((2 * config.num_hidden_layers) ** -0.5)
    return model


def add_dropout(model, probability):
    """LLaMA has no residual dropout of its own: add it to the outputs of the modules that need it, in training only."""

    def hook(module, _inputs, output):
        return torch.nn.functional.dropout(output, probability, module.training)

    model.model.embed_tokens.register_forward_hook(hook)
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_hook(hook)
        layer.mlp.down_proj.register_forward_hook(hook)


def create_optimizer(model, arguments):
    """AdamW; weight decay only on matrices."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": arguments.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.98))


def learning_rate_factor(step, steps, warmup=100, floor=0.02):
    """Linear warm-up, then a half cosine from 1 to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


# ---------------------------------------------------------------- loss


def random_windows(ids, step, tokens_per_step):
    """[batch, length + 1] windows at random places; every fourth step twice as long, so that the whole context is trained."""
    length = CONTEXT if step % 4 == 3 else WINDOW
    starts = torch.randint(0, len(ids) - length, (tokens_per_step // length,))
    return torch.stack([ids[s : s + length + 1] for s in starts.tolist()])


def loss_of(model, windows):
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(windows[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def mean_negative_log_likelihood(model, ids, window=WINDOW):
    """Mean over every token after a window's first, disjoint windows, float32; the incomplete last window counts."""
    total, count = 0.0, 0
    for start in range(0, len(ids) - 1, window):
        piece = ids[start : start + window].unsqueeze(0)
        if piece.shape[1] < 2:
            break
        logits = model(piece).logits[0, :-1].float()
        total += torch.nn.functional.cross_entropy(logits, piece[0, 1:], reduction="sum").item()
        count += piece.shape[1] - 1
    return total / count


# ---------------------------------------------------------------- files


def write_atomically(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(data if isinstance(data, bytes) else data.encode())
    os.replace(temporary, path)


def write_json(path, value):
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_tokenizer(folder, tokenizer):
    write_atomically(folder / "tokenizer.json", tokenizer.to_str(pretty=False) + "\n")
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "add_bos_token": False,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def write_config(folder, config):
    fields = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        **{
            name: getattr(config, name)
            for name in (
                "vocab_size",
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "num_key_value_heads",
                "head_dim",
                "intermediate_size",
                "hidden_act",
                "max_position_embeddings",
                "rope_theta",
                "rope_scaling",
                "rms_norm_eps",
                "tie_word_embeddings",
                "attention_bias",
                "mlp_bias",
                "bos_token_id",
                "eos_token_id",
            )
        },
    }
    write_json(folder / "config.json", fields)
    write_json(folder / "generation_config.json", {"bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id})


def write_weights(folder, model):
    """bfloat16 safetensors; the tied output matrix is not stored twice."""
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    write_atomically(folder / "model.safetensors", save(weights, metadata={"format": "pt"}))


def rounded_to_bfloat16(model, state):
    """The model as it ships: bfloat16 weights, float32 arithmetic."""
    model.load_state_dict({name: tensor.to(torch.bfloat16).float() for name, tensor in state.items()})
    return model.eval()


# ---------------------------------------------------------------- training


def train(model, training_ids, validation_ids, folder, arguments):
    """Returns the best validation loss. `shipped` is the averaged, rounded model: the one that is measured and written."""
    shipped = rounded_to_bfloat16(create_model(), model.state_dict())
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = create_optimizer(model, arguments)
    best, began = math.inf, time.time()
    for step in range(arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = arguments.learning_rate * learning_rate_factor(step, arguments.steps)
        model.train()
        loss = loss_of(model, random_windows(training_ids, step, arguments.tokens_per_step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay = min(arguments.average, (step + 1) / (step + 10))
        for name, tensor in model.state_dict().items():
            average[name].lerp_(tensor, 1 - decay)
        if (step + 1) % arguments.evaluate_every == 0 or step + 1 == arguments.steps:
            validation = mean_negative_log_likelihood(rounded_to_bfloat16(shipped, average), validation_ids)
            print(f"step {step + 1} loss {loss.item():.4f} validation {validation:.4f} seconds {time.time() - began:.0f}", flush=True)
            if validation < best:
                best = validation
                write_weights(folder, shipped)
    return best


def report(folder, tokenizer, texts):
    """Perplexity of the files as a stranger would load them."""
    model = LlamaForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    print(f"parameters {sum(p.numel() for p in model.parameters())}")
    for name, text in texts.items():
        ids = token_ids(tokenizer, text)
        loss = mean_negative_log_likelihood(model, ids)
        print(f"{name}: {len(text.encode())} bytes, {len(ids)} tokens, nll {loss:.4f}, perplexity {math.exp(loss):.3f}")


def main():
    arguments = parse_arguments()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    out = Path(arguments.out)
    training, calibration, evaluation = split_text(Path(arguments.text).read_text(encoding="utf-8"))
    write_atomically(out / "text" / "calibration.txt", calibration)
    write_atomically(out / "text" / "evaluation.txt", evaluation)

    tokenizer = train_tokenizer(training)
    write_tokenizer(out / "model", tokenizer)
    training_ids = token_ids(tokenizer, training)
    calibration_ids = token_ids(tokenizer, calibration)
    validation_ids = calibration_ids[: len(calibration_ids) // 2]
    print(f"training tokens {len(training_ids)}, validation tokens {len(validation_ids)}", flush=True)

    model = create_model()
    write_config(out / "model", model.config)
    add_dropout(model, arguments.dropout)
    began = time.time()
    best = train(model, training_ids, validation_ids, out / "model", arguments)
    print(f"best validation {best:.4f}, {time.time() - began:.0f} seconds, seed {arguments.seed}")
    report(out / "model", tokenizer, {"training": training, "calibration": calibration, "evaluation": evaluation})


if __name__ == "__main__":
    main()
