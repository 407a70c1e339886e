"""CLIP's vocabulary, and reduced ones that hold only the merges a corpus needs.

A reduced vocabulary splits every word of its corpus as CLIP does. Other words fall into partial merges and single
bytes: they stay readable, they only count more tokens than in CLIP.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import regex

from longclip.cleaning import WORD_PATTERN, clean

START = "<|startoftext|>"
END = "<|endoftext|>"
CLIP_VOCABULARY = 49408
# Two symbols a byte and two special tokens are no merges.
_CLIP_MERGES = CLIP_VOCABULARY - 2 * 256 - 2
_WORD = regex.compile(WORD_PATTERN)
_LETTERS = regex.compile(r"\p{L}+")

Merge = tuple[str, str]


def full_vocabulary() -> tuple[dict[str, int], list[Merge]]:
    """CLIP's own 49,408 tokens and 48,894 merges, from the file that ships with open_clip (offline)."""
    merges = list(_clip_merges())
    return _vocabulary(merges), merges


def reduce_vocabulary(texts: Iterable[str]) -> tuple[dict[str, int], list[Merge]]:
    """The part of CLIP's vocabulary that these texts use.

    Replays CLIP's byte-pair encoding over the distinct words and keeps each merge that was applied, in CLIP's order.
    The ids are 512 byte symbols, the merges, start, and end, which is last: CLIP pools at the highest id of a text.
    """
    ranks = {merge: rank for rank, merge in enumerate(_clip_merges())}
    used: set[Merge] = set()
    words: set[str] = set()
    for text in texts:
        words.update(_WORD.findall(clean(text)))
    for word in words:
        used.update(_replay(word, ranks))
    merges = sorted(used, key=ranks.__getitem__)
    return _vocabulary(merges), merges


def distinct_words(texts: Iterable[str]) -> set[str]:
    """The runs of letters in the texts, cleaned and lower-cased: what a model trained on them has seen."""
    words: set[str] = set()
    for text in texts:
        words.update(_LETTERS.findall(clean(text)))
    return words


@cache
def byte_symbols() -> tuple[str, ...]:
    """The visible character that stands for each of the 256 bytes, by byte value (as in GPT-2 and CLIP)."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = (chr(256 + n) for n in range(256))
    return tuple(chr(byte) if byte in visible else next(others) for byte in range(256))


def _vocabulary(merges: list[Merge]) -> dict[str, int]:
    # CLIP numbers the bytes that are visible characters first, the others after them: the order of their code points.
    symbols = sorted(byte_symbols())
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *map("".join, merges), START, END]
    return {token: index for index, token in enumerate(tokens)}


@cache
def _clip_merges() -> tuple[Merge, ...]:
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise ImportError("CLIP's vocabulary comes with open_clip, which is not installed: pip install open_clip_torch")
    path = Path(package.origin).with_name("bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : 1 + _CLIP_MERGES]
    pairs = (line.split() for line in lines)
    return tuple((first, second) for first, second in pairs)


def _replay(word: str, ranks: dict[Merge, int]) -> Iterator[Merge]:
    """The merges that byte-pair encoding applies to one word, in the order of application."""
    symbols = [byte_symbols()[byte] for byte in word.encode("utf-8")]
    symbols[-1] += "</w>"
    while len(symbols) > 1:
        best = min(zip(symbols, symbols[1:], strict=False), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            return
        yield best
        merged, i = [], 0
        while i < len(symbols):
            if tuple(symbols[i : i + 2]) == best:
                merged.append("".join(best))
                i += 2
            else:
                merged.append(symbols[i])
                i += 1
        symbols = merged
