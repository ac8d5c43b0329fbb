"""PyTorch on the same card: python tools/verify/gpu-bench/torch_peer.py

The shapes of measure.mjs: a copy for the bandwidth, float32 products without tensor cores, and latent decode attention in its
absorbed form, written as matrix products in float16 (there is no such kernel in PyTorch; FlashMLA has one for Hopper)."""

import torch

torch.backends.cuda.matmul.allow_tf32 = False
device = torch.device("cuda")
heads, rank, rope_dim, nope_dim, value_dim = 128, 512, 64, 128, 128


def best(body, runs=20):
    body()
    least = float("inf")
    for _ in range(runs):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        body()
        end.record()
        torch.cuda.synchronize()
        least = min(least, start.elapsed_time(end) / 1e3)
    return least


def row(what, seconds, n_bytes=0, flops=0):
    print(f"{what:34}{1e6 * seconds:11.0f} us{n_bytes / seconds / 1e9:12.1f} GB/s{flops / seconds / 1e12:12.3f} TFLOP/s")


def absorbed(latents, rope_keys, q_nope, q_rope, key_up, value_up):
    """latents [s, n, rank], rope_keys [s, n, rope], q [s, heads, ·], key_up [heads, nope, rank], value_up [heads, value, rank]"""
    q = torch.einsum("shd,hdk->shk", q_nope, key_up)
    logits = q @ latents.transpose(1, 2) + q_rope @ rope_keys.transpose(1, 2)
    weights = torch.softmax(logits.float() / (nope_dim + rope_dim) ** 0.5, -1).half()
    return torch.einsum("shk,hvk->shv", weights @ latents, value_up)


with torch.inference_mode():
    print(torch.cuda.get_device_name(), torch.__version__)
    x = torch.randn(2**26, device=device)
    y = torch.empty_like(x)
    row("add, bandwidth", best(lambda: torch.add(x, x, out=y)), 8 * x.numel())
    a, b = (torch.randn(4096, 4096, device=device) for _ in range(2))
    row("product 4096^3, f32", best(lambda: a @ b.T), 0, 2 * 4096**3)
    weight = torch.randn(16384, 4096, device=device)
    for tokens in (1, 4, 512, 2048):
        z = torch.randn(tokens, 4096, device=device)
        row(f"{tokens} x 4096 x 16384, f32", best(lambda: z @ weight.T), 4 * weight.numel(), 2 * tokens * weight.numel())
    half = dict(device=device, dtype=torch.float16)
    key_up = torch.randn(heads, nope_dim, rank, **half) / rank**0.5
    value_up = torch.randn(heads, value_dim, rank, **half) / rank**0.5
    for sequences, length in ((1, 8192), (1, 32768), (16, 8192)):
        latents = torch.randn(sequences, length, rank, **half)
        rope_keys = torch.randn(sequences, length, rope_dim, **half)
        q_nope = torch.randn(sequences, heads, nope_dim, **half)
        q_rope = torch.randn(sequences, heads, rope_dim, **half)
        seconds = best(lambda: absorbed(latents, rope_keys, q_nope, q_rope, key_up, value_up))
        n_bytes = 2 * sequences * length * (rank + rope_dim) + 2 * heads * (nope_dim + value_dim) * rank
        flops = 2 * sequences * length * heads * (2 * rank + rope_dim)
        row(f"latent decode, {sequences} of {length}, f16", seconds, n_bytes, flops)
