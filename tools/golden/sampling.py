"""Golden probabilities of the sampling filters, from the logits processors of Hugging Face transformers.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    .venv/bin/python tools/golden/sampling.py --out packages/generation/golden

Writes sampling.json: logits of 40 tokens (with two equal ones), the tokens seen before, and per case the options and
the probabilities after bias, repetition penalty, temperature, top-k, top-p and min-p in this order; and the
log-probabilities of the logits themselves.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

SEEN = [3, 7, 7, 11, 20]
CASES = [
    {"temperature": 1.0},
    {"temperature": 0.7},
    {"temperature": 1.0, "repetitionPenalty": 1.3},
    {"temperature": 1.0, "topK": 5},
    {"temperature": 1.0, "topP": 0.8},
    {"temperature": 1.0, "minP": 0.1},
    {"temperature": 1.5, "topK": 12, "topP": 0.9},
    {"temperature": 1.0, "logitBias": {"13": -2.5, "0": 4.0}},
    {"temperature": 0.9, "logitBias": {"26": -100.0, "3": 7.5}, "repetitionPenalty": 1.2, "topP": 0.9},
    {"temperature": 0.8, "topK": 20, "topP": 0.95, "minP": 0.05, "repetitionPenalty": 1.1},
]


def processors(case):
    made = LogitsProcessorList()
    if "logitBias" in case:
        made.append(SequenceBiasLogitsProcessor({(int(token),): bias for token, bias in case["logitBias"].items()}))
    if "repetitionPenalty" in case:
        made.append(RepetitionPenaltyLogitsProcessor(case["repetitionPenalty"]))
    if case["temperature"] != 1.0:
        made.append(TemperatureLogitsWarper(case["temperature"]))
    if "topK" in case:
        made.append(TopKLogitsWarper(case["topK"]))
    if "topP" in case:
        made.append(TopPLogitsWarper(case["topP"]))
    if "minP" in case:
        made.append(MinPLogitsWarper(case["minP"]))
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder that receives sampling.json")
    arguments = parser.parse_args()
    torch.manual_seed(1)
    logits = torch.randn(1, 40) * 2.5
    logits[0, 9] = logits[0, 30]

    def probabilities(case):
        scores = processors(case)(torch.tensor([SEEN]), logits.clone())
        return [float(f"{p:.8g}") for p in scores.double().softmax(-1)[0].tolist()]

    golden = {
        "logits": [float(f"{x:.9g}") for x in logits[0].tolist()],
        "logProbabilities": [float(f"{x:.9g}") for x in logits.double().log_softmax(-1)[0].tolist()],
        "seen": SEEN,
        "cases": [{"options": case, "probabilities": probabilities(case)} for case in CASES],
    }
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "sampling.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
