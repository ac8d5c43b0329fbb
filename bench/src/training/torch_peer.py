"""Training steps of a Hugging Face checkpoint in PyTorch: one JSON line of tokens per second for each step.

usage: torch_peer.py MODEL THREADS DOCUMENTS TOKENS STEPS
"""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

folder, (threads, documents, tokens, steps) = sys.argv[1], map(int, sys.argv[2:6])
torch.set_num_threads(threads)
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="sdpa").train()
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
ids = torch.randint(0, model.config.vocab_size, (documents, tokens))
for _ in range(steps):
    start = time.perf_counter()
    model(ids, labels=ids).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    print(json.dumps({"tokensPerSecond": documents * tokens / (time.perf_counter() - start)}), flush=True)
    sys.stdin.readline()
