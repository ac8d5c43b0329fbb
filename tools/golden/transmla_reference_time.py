"""Wall time of converting one model with the reference implementation, for the row `conversion` of the bench.

    TRANSMLA_BENCH_REFERENCE="python3 tools/golden/transmla_reference_time.py --reference reference-transmla --model FOLDER" \\
        npm run bench -- --only conversion

Sets up as transmla_reference.py does. FOLDER is the model in the Hugging Face layout. Does what the reference's own
converter does with a fixed freqfold and no perplexities, which is the least it can take: load, `partial_rope`,
`low_rank_qkv`, save. Token ids are random: the time does not depend on them. Prints the seconds of each step as JSON.
"""

import argparse
import json
import tempfile
import time
from types import SimpleNamespace

import torch
from transformers import AutoModelForCausalLM

from transmla_reference import import_reference

BATCH = 8  # the reference's default


def calibration(samples, length, vocabulary):
    ids = torch.randint(vocabulary, (samples, length), generator=torch.Generator().manual_seed(1))
    return [{"input_ids": piece, "attention_mask": torch.ones_like(piece)} for piece in ids.split(BATCH)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True, help="checkout of the reference repository")
    parser.add_argument("--model", required=True, help="folder in the Hugging Face layout")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--sequence-length", type=int, default=256)
    parser.add_argument("--kv-rank", type=int, default=64)
    parser.add_argument("--rope-dim", type=int, default=32)
    parser.add_argument("--freqfold", type=int, default=4)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    reference = import_reference(arguments.reference)
    no_padding = SimpleNamespace(pad_token_id=None)
    seconds, last = {}, time.perf_counter()

    def step(name):
        nonlocal last
        now = time.perf_counter()
        seconds[name], last = round(now - last, 2), now

    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(
            arguments.model, torch_dtype=getattr(torch, arguments.dtype), attn_implementation="sdpa"
        ).eval()
        step("load")
        tokens = calibration(arguments.samples, arguments.sequence_length, model.config.vocab_size)
        options = {
            "freqfold": arguments.freqfold,
            "collapse": model.config.head_dim // arguments.rope_dim,
            "qk_mqa_dim": arguments.rope_dim,
            "kv_lora_rank": arguments.kv_rank,
            "q_lora_rank": None,
            "balance_kv_ratio": 1.0,
            "use_qkv_norm": False,
        }
        model = reference.partial_rope.partial_rope(model, no_padding, tokens, None, **options)
        step("partial_rope")
        model = reference.lora_qkv.low_rank_qkv(model, no_padding, tokens, None, **options)
        step("low_rank_qkv")
        with tempfile.TemporaryDirectory() as output:
            model.to(torch.bfloat16).save_pretrained(output)
        step("save")
    print(json.dumps({"threads": arguments.threads, "seconds": seconds, "total": round(sum(seconds.values()), 2)}))


if __name__ == "__main__":
    main()
