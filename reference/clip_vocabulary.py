"""OpenAI's merge list, from the open_clip package, as Hugging Face's CLIPTokenizer of any number of merges."""

import gzip
import importlib.util
from pathlib import Path

from transformers import CLIPTokenizer

MERGES = 48894


def byte_symbols():
    """The 256 byte symbols in GPT-2's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(rest))]


def merge_list():
    folder = Path(importlib.util.find_spec("open_clip").origin).parent
    lines = gzip.open(folder / "bpe_simple_vocab_16e6.txt.gz").read().decode("utf-8").split("\n")
    return [tuple(line.split()) for line in lines[1 : MERGES + 1]]


def tokenizer(merges=MERGES):
    rules = merge_list()[:merges]
    symbols = byte_symbols()
    names = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(rule) for rule in rules]
    names += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=rules)
