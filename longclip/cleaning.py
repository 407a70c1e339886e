"""What CLIP's tokenizer does to a text before it splits it, with a way back to the characters that were typed.

CLIP mends broken encodings (``ftfy``), resolves HTML entities twice, and lower-cases. Whitespace only ever separates
words, so it is left as it is here.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass

import ftfy
import regex

# CLIP's words: contractions, runs of letters, single digits, runs of anything else that is visible. CLIP's own pattern
# begins with its special tokens; it does not here, so text that spells one stays text.
WORD_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

# Printable ASCII without "&": cleaning cannot change it, whatever its length.
_PLAIN = regex.compile(r"[\t\n\f\r -%'-~]*+")
# Grains in which the cleaning may have worked, fine to coarse: an entity, a terminal code or a visible character; a word;
# a line; the whole.
_CHARACTER = r"&(?:amp;)*#?\w+;?|\x1b\[[\d;]*[a-zA-Z]|\X"
_GRAINS = tuple(regex.compile(grain) for grain in (_CHARACTER, r"\s+|\S+", r"[^\n]*\n|[^\n]+", r"(?s:.+)"))


@dataclass(frozen=True)
class CleanText:
    """A cleaned text and, for each of its characters, where it came from in the typed one (None: the same place)."""

    text: str
    origins: list[tuple[int, int]] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The typed characters behind ``text[start:end]``, as (start, end)."""
        if self.origins is None or start >= end:
            return start, end
        return self.origins[start][0], self.origins[end - 1][1]


def clean(text: str) -> str:
    """The text as CLIP's tokenizer reads it, but for runs of whitespace."""
    return text.lower() if _PLAIN.fullmatch(text) else _mend(text).lower()


def clean_with_origins(text: str) -> CleanText:
    """The cleaned text with the origin of each character.

    An entity, a re-composed accent or a curly quote points to exactly the characters it was made from. Where the mending
    of one character depended on its neighbours (wrongly decoded text), the part of the word that changed is one block:
    each of its characters points to the whole of it.
    """
    if _PLAIN.fullmatch(text):
        return CleanText(text.lower())
    mended = _mend(text)
    lowered = mended.lower()
    if mended == text and len(lowered) == len(text):
        return CleanText(lowered)
    origins = _align(text, mended)
    if len(lowered) != len(mended):
        # A capital such as "İ" becomes two characters, both of which came from it.
        origins = [origin for origin, character in zip(origins, mended, strict=True) for _ in character.lower()]
    return CleanText(lowered, origins)


def _mend(text: str) -> str:
    return html.unescape(html.unescape(ftfy.fix_text(text)))


def _align(text: str, mended: str, start: int = 0, grains: int = len(_GRAINS)) -> list[tuple[int, int]]:
    """Origins of the mended characters of a text that begins at `start`.

    Takes the finest of the first `grains` grains in which mending part by part gives the same result, then looks for
    finer ones within each part that changed.
    """
    if not grains:
        return [(start, start + len(text))] * len(mended)
    for level, grain in enumerate(_GRAINS[:grains]):
        parts = grain.findall(text)
        results = {part: part if _PLAIN.fullmatch(part) else _mend(part) for part in set(parts)}
        if "".join(map(results.__getitem__, parts)) == mended:
            return list(_part_origins(parts, results, start, level))
    return _block(text, mended, start)


def _part_origins(parts: list[str], results: dict[str, str], start: int, grains: int) -> Iterator[tuple[int, int]]:
    for part in parts:
        if results[part] == part:
            yield from ((start + i, start + i + 1) for i in range(len(part)))
        else:
            yield from _align(part, results[part], start, grains)
        start += len(part)


def _block(part: str, result: str, start: int) -> list[tuple[int, int]]:
    """Origins within one part: what is equal at both ends character by character, the rest as one block."""
    shorter = min(len(part), len(result))
    head = next((i for i in range(shorter) if part[i] != result[i]), shorter)
    tail = next((i for i in range(shorter - head) if part[-1 - i] != result[-1 - i]), shorter - head)
    end = start + len(part)
    block = (start + head, end - tail)
    return [
        *((start + i, start + i + 1) for i in range(head)),
        *([block] * (len(result) - head - tail)),
        *((end - i, end - i + 1) for i in range(tail, 0, -1)),
    ]
