"""Golden token ids of small tokenizers, from Hugging Face tokenizers (Rust) and from SentencePiece.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    .venv/bin/python tools/golden/tokenizer.py --sample packages/sample-model --out packages/generation/golden

Writes tokenizers.json:

    texts          what is encoded
    sample         ids per text by the tokenizer of the sample model
    byteLevel      tokens and merges of a byte-level vocabulary, its token kinds as in GGUF, and under `words` the ids
                   per text for every way of splitting words, by its name in GGUF. The merges were made without any
                   splitting, so that a wrong split shows in the ids.
    special        one text with special tokens: ids when they are read as tokens and when they are plain text
    sentencePiece  pieces, scores and kinds of a SentencePiece BPE model with byte fallback, and the ids per text
    metaspace      a tokenizer.json with the Metaspace pre-tokenizer that splits, and the ids per text
"""

import argparse
import json
import tempfile
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = [
    "Romeo, Romeo! Wherefore art thou Romeo?",
    "It's he'll, they'd; I'M, YOU'RE WE'VE don't o'clock 'tis",
    "In 1597 and 1,234,567.89 or 3.14159 at 10:30; 2nd x2 0x1F 1 2  3",
    "two  spaces   three    four\ttab \t mixed  1",
    "line\n\nparagraph\n \n  indented\r\nwindows\r\n\r\nend\n",
    " leading and trailing   ",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m A\u030angstro\u0308m \u0132 CamelCase XMLHttpRequest",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002 \u041f\u0440\u0438\u0432\u0435\u0442 \u0645\u0631\u062d\u0628\u0627 \u0663\u0664\u0665 \u00bd\u00b2\u2167 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f389\U0001f389 \U0001f469\u200d\U0001f469\u200d\U0001f467 \u2600\ufe0f!",
    "a\u00a0b\u0085c\ufeffd\u2028e\u3000f\u200bg",
    "f(x) = {a: [1, 2]}; // $5 + <b> ~ ^| `code` @you #tag path/to/file\n/end",
    "say transmla or transmla.",
    "\u2581under\u2581\u2581scores _ __",
    "",
]
SPECIAL_TEXT = "<|turn|>say <|end|><keep> more<|turn|> <keep>"

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# As in the tokenizer.json of Llama 3, Qwen2 and Mistral Nemo.
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What llama.cpp does with files that name no way of splitting.
DEFAULT = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]


def isolate(pattern):
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


def as_bytes(use_regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


WORDS = {
    "gpt-2": [as_bytes(use_regex=True)],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), as_bytes(use_regex=True)],
    "llama-bpe": [isolate(LLAMA3), as_bytes()],
    "qwen2": [isolate(QWEN2), as_bytes()],
    "tekken": [isolate(TEKKEN), as_bytes()],
    "default": [*map(isolate, DEFAULT), as_bytes()],
}
IGNORE_MERGES = {"llama-bpe", "tekken"}
COMPOSED = {"qwen2"}

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


def encode(tokenizer):
    """Ids of the texts, none of whose parts is to be read as a special token."""
    tokenizer.encode_special_tokens = True
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]


def byte_level(training_text):
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = as_bytes()
    lines = [line for text in [training_text, *TEXTS * 30] for line in text.splitlines(keepends=True)]
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    trained.train_from_iterator(lines, trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [tuple(merge) for merge in model["merges"]]
    # A token that no merge makes, and three that are added.
    types = [NORMAL] * (len(tokens) + 1) + [CONTROL, CONTROL, USER_DEFINED]
    tokens += ["\u0120transmla", "<|turn|>", "<|end|>", "<keep>"]

    def build(name):
        vocab = {token: index for index, token in enumerate(tokens)}
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=name in IGNORE_MERGES))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(WORDS[name])
        if name in COMPOSED:
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in ("<|turn|>", "<|end|>")])
        tokenizer.add_tokens([AddedToken("<keep>", normalized=False)])
        return tokenizer

    vocabulary = {
        "tokens": tokens,
        "types": types,
        "merges": [" ".join(merge) for merge in merges],
        "words": {name: encode(build(name)) for name in WORDS},
    }
    tokenizer = build("gpt-2")
    parsed = tokenizer.encode(SPECIAL_TEXT).ids
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(SPECIAL_TEXT).ids
    return vocabulary, {"text": SPECIAL_TEXT, "parsed": parsed, "plain": plain}


def sentence_piece(training_text):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "text.txt").write_text(training_text, encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=f"{folder}/text.txt",
            model_prefix=f"{folder}/model",
            model_type="bpe",
            vocab_size=600,
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            num_threads=1,
            minloglevel=2,
        )
        model = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/model.model")
    ids = range(model.get_piece_size())

    def kind(index):
        if model.is_unknown(index):
            return UNKNOWN
        if model.is_control(index):
            return CONTROL
        return BYTE if model.is_byte(index) else NORMAL

    return {
        "tokens": [model.id_to_piece(index) for index in ids],
        "scores": [model.get_score(index) for index in ids],
        "types": [kind(index) for index in ids],
        "ids": [model.encode(text) for text in TEXTS],
    }


def metaspace(training_text):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(training_text.splitlines(), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=True)
    tokenizer.decoder = decoders.Metaspace()
    return {"tokenizer": json.loads(tokenizer.to_str()), "ids": encode(tokenizer)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", required=True, help="folder of the sample model package")
    parser.add_argument("--out", required=True, help="folder that receives tokenizers.json")
    arguments = parser.parse_args()
    sample = Path(arguments.sample)
    training_text = (sample / "text" / "calibration.txt").read_text(encoding="utf-8")
    vocabulary, special = byte_level(training_text)
    golden = {
        "texts": TEXTS,
        "sample": encode(Tokenizer.from_file(str(sample / "model" / "tokenizer.json"))),
        "byteLevel": vocabulary,
        "special": special,
        "sentencePiece": sentence_piece(training_text),
        "metaspace": metaspace(training_text),
    }
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizers.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
