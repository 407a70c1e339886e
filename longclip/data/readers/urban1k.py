"""Urban-1k, the retrieval benchmark of Long-CLIP (arXiv 2403.15378): a folder of pictures and one of captions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..pairs import DataError, Pair
from .paths import PICTURE_ENDINGS
from .records import read_caption


def read_urban1k(path: Path, left_out: Counter[str]) -> Iterator[Pair]:
    """``image/NAME.jpg`` with the words of ``caption/NAME.txt``, in the order of the names."""
    for name in ("image", "caption"):
        if not (path / name).is_dir():
            raise DataError(f"{path} has no folder {name}: wanted image/NAME.jpg and caption/NAME.txt")
    written = set(os.listdir(path / "caption"))
    for name in sorted(os.listdir(path / "image")):
        stem, ending = os.path.splitext(name)
        if ending.lower() not in PICTURE_ENDINGS:
            continue
        caption = read_caption(path / "caption" / f"{stem}.txt") if f"{stem}.txt" in written else ""
        if caption:
            yield Pair(path / "image" / name, (caption,))
        else:
            left_out["pictures without caption"] += 1
