"""CLIP's byte-pair tokenizer with a truncated merge list.

What it is: lower-casing, whitespace cleaning and BPE as CLIP does them, over the first `merges` merges
of CLIP's list; token numbers are 256 bytes, 256 bytes with </w>, the merges in order, start, end.
What it is not: fast, or able to fix broken Unicode as the original's optional clean-up does.
"""

import functools
import gzip
import html
from pathlib import Path

import regex

WORDS = regex.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
                      regex.IGNORECASE)


def byte_symbols():
    """The printable character that stands for each byte, in vocabulary order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + n) for n, b in enumerate(others)}}


class Tokenizer:
    def __init__(self, merges_file, merges, length=77):
        """merges_file: CLIP's bpe_simple_vocab_16e6.txt, plain or gzipped."""
        data = Path(merges_file).read_bytes()
        lines = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8").split("\n")
        pairs = [tuple(line.split()) for line in lines[1:merges + 1]]
        self.bytes = byte_symbols()
        symbols = list(self.bytes.values())
        vocabulary = symbols + [s + "</w>" for s in symbols] + ["".join(pair) for pair in pairs]
        self.numbers = {text: number for number, text in enumerate(vocabulary)}
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.start, self.end, self.length = len(vocabulary), len(vocabulary) + 1, length

    @functools.lru_cache(maxsize=100_000)
    def split(self, word):
        """Token numbers of one word."""
        parts = [self.bytes[b] for b in word.encode("utf-8")]
        parts[-1] += "</w>"
        while len(parts) > 1:
            rank, place = min((self.ranks.get(pair, float("inf")), n) for n, pair in enumerate(zip(parts, parts[1:])))
            if rank == float("inf"):
                break
            first, second = parts[place], parts[place + 1]
            merged, n = [], 0
            while n < len(parts):
                if parts[n:n + 2] == [first, second]:
                    merged.append(first + second)
                    n += 2
                else:
                    merged.append(parts[n])
                    n += 1
            parts = merged
        return [self.numbers[part] for part in parts]

    def __call__(self, text):
        """Start, at most 75 tokens, then end tokens up to the full length."""
        text = " ".join(html.unescape(html.unescape(text)).split()).lower()
        tokens = [number for word in WORDS.findall(text) for number in self.split(word)]
        tokens = [self.start, *tokens[:self.length - 2], self.end]
        return tokens + [self.end] * (self.length - len(tokens))
