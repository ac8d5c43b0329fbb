"""Evaluates a folder in the native format (docs/formats/native.md) without any of our code, to check logits or make golden ones.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    npx transmla convert sample ./sample-mla --keep 50%
    .venv/bin/python tools/golden/native_latent.py ./sample-mla                                # prints a summary of the logits
    .venv/bin/python tools/golden/native_latent.py --golden packages/conversion/golden/native/*/

The decoder is that of Hugging Face transformers for the original family, in float32: embedding, norms, feed-forward, masks of causality and sliding
windows, output head. In every layer its attention is replaced by latent attention as the document defines it, up-projections multiplied into
keys and values, with the softmax scale, soft cap and head norms of the attention that it replaces. Any tensor of the folder that neither part takes fails.

With --golden every folder gets golden.safetensors: input_ids I64 [1, 40] and logits F32 [1, 40, vocabulary].
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS = 40
# Families that Hugging Face transformers has under another name.
SAME_AS = {"mimo": "qwen2"}


class LatentAttention(nn.Module):
    """One layer: `weights` by their names after `self_attn.`, `sizes` its entry in the config."""

    def __init__(self, original, sizes, frequencies, weights):
        super().__init__()
        self.heads = original.config.num_attention_heads
        self.scale = original.scaling
        self.soft_cap = getattr(original, "attn_logit_softcapping", None)
        self.epsilon = original.config.rms_norm_eps
        self.sizes, self.frequencies, self.weights = sizes, frequencies, weights
        self.used = set()

    def take(self, name):
        self.used.add(name)
        return self.weights[name]

    def linear(self, name, x):
        """[tokens, in] -> [tokens, out], nothing where the folder has no such projection."""
        if f"{name}.weight" not in self.weights:
            return None
        y = x @ self.take(f"{name}.weight").T
        return y + self.take(f"{name}.bias") if f"{name}.bias" in self.weights else y

    def normed_heads(self, name, x):
        """Projection and RMS norm of every head: [tokens, heads * head_dim]."""
        gain = self.take(f"{name}_norm.weight")
        heads = self.linear(f"{name}_proj", x).unflatten(-1, (-1, len(gain)))
        return (heads * torch.rsqrt(heads.pow(2).mean(-1, keepdim=True) + self.epsilon) * gain).flatten(1)

    def rotated(self, x):
        """Half-split components as complex numbers, turned by position * frequency: [tokens, heads, rope_dim]."""
        re, im = x.chunk(2, dim=-1)
        angles = torch.arange(len(x), dtype=torch.float64)[:, None] * torch.tensor(self.frequencies, dtype=torch.float64)
        turned = torch.complex(re.double(), im.double()) * torch.polar(torch.ones_like(angles), angles)[:, None]
        return torch.cat([turned.real, turned.imag], dim=-1).float()

    def per_head(self, name, count, latents):
        """Keys or values of every head from the latents: [tokens, heads, width]."""
        up = self.take(f"{name}.weight").unflatten(0, (count, -1)).repeat_interleave(self.heads // count, dim=0)
        return torch.einsum("hdr,nr->nhd", up, latents)

    def queries_and_keys(self, x, latents):
        """All parts side by side, [tokens, heads, width] each."""
        normed = "q_norm.weight" in self.weights
        low_rank = self.linear("q_a_proj", x)
        queries = self.normed_heads("q", x) if normed else x if low_rank is None else low_rank
        query, key = [], []
        if self.sizes["qk_nope_head_dim"] > 0:
            nope = queries if normed else self.linear("q_nope_proj", queries)
            query.append(nope.unflatten(-1, (self.heads, -1)))
            key.append(self.per_head("k_b_proj", self.sizes["key_up_heads"], latents))
        if self.sizes["qk_rope_head_dim"] > 0:
            shared = self.linear("k_rope_proj", self.normed_heads("k", x) if normed else x)
            query.append(self.rotated(self.linear("q_rope_proj", queries).unflatten(-1, (self.heads, -1))))
            key.append(self.rotated(shared[:, None]).expand(-1, self.heads, -1))
        return torch.cat(query, dim=-1), torch.cat(key, dim=-1)

    def forward(self, hidden_states, attention_mask=None, **_):
        x = hidden_states[0]
        latents = self.linear("kv_a_proj", x)
        if "kv_a_key_proj.weight" in self.weights:
            latents = latents + self.linear("kv_a_key_proj", self.normed_heads("k", x))
        query, key = self.queries_and_keys(x, latents)
        value = self.per_head("v_b_proj", self.sizes["value_up_heads"], latents)
        logits = self.scale * torch.einsum("mhd,nhd->hmn", query, key)
        if self.soft_cap is not None:
            logits = self.soft_cap * torch.tanh(logits / self.soft_cap)
        weights = torch.softmax(logits + attention_mask[0], dim=-1)
        mixed = torch.einsum("hmn,nhd->mhd", weights, value)
        return self.linear("o_proj", mixed.flatten(1))[None], None


def load(folder):
    """The model, its latent attentions."""
    config = json.loads((folder / "config.json").read_text())
    section = config.pop("transmla")
    family = SAME_AS.get(section["base_model_type"], section["base_model_type"])
    tensors = {name: tensor.float() for path in sorted(folder.glob("model*.safetensors")) for name, tensor in load_file(path).items()}
    original = AutoConfig.for_model(family, **{name: value for name, value in config.items() if name != "model_type"})
    original._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(original, dtype=torch.float32).eval()
    attentions = []
    for index, (layer, sizes) in enumerate(zip(model.model.layers, section["layers"], strict=True)):
        prefix = f"model.layers.{index}.self_attn."
        weights = {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
        layer.self_attn = LatentAttention(layer.self_attn, sizes, section["rope_frequencies"][sizes["rope_frequencies"]], weights)
        attentions.append(layer.self_attn)
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    tied = {"lm_head.weight"} if original.tie_word_embeddings else set()
    assert set(missing) <= tied and not unexpected, (missing, unexpected)
    return model, attentions


@torch.no_grad()
def evaluate(folder):
    model, attentions = load(folder)
    ids = torch.randint(0, model.config.vocab_size, (1, TOKENS), generator=torch.Generator().manual_seed(2))
    logits = model(ids, use_cache=False).logits
    for attention in attentions:
        unread = set(attention.weights) - attention.used
        assert not unread, unread
    return ids, logits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for folder in arguments.folders:
        ids, logits = evaluate(folder)
        print(f"{folder.name}: {logits.shape[1]} tokens, logits std {logits.std():.3f}, largest {logits.abs().max():.3f}")
        if arguments.golden:
            save_file({"input_ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")


if __name__ == "__main__":
    main()
