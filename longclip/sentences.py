"""Where the sentences of a text begin and end."""

from __future__ import annotations

import re

# A full stop ends a sentence when white space and something that can begin one follow: not in "3.5" or "e.g. a".
_BREAK = re.compile(r"[.!?…]+[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\Wa-z])|[。！？]+|\s*\n\s*\n\s*")


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Character spans (start, end) of the sentences, in order; white space between them belongs to none."""
    spans, start = [], 0
    for end in [m.end() for m in _BREAK.finditer(text)] + [len(text)]:
        piece = text[start:end]
        if piece.strip():
            spans.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
        start = end
    return spans
