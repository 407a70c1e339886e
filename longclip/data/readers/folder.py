"""Image folders as the `datasets` library reads them, and pictures with text files beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..pairs import DataError, Pair
from .paths import PICTURE_ENDINGS
from .records import read_caption
from .table import read_table

METADATA = ("metadata.jsonl", "metadata.csv")


def read_image_folder(path: Path, left_out: Counter[str]) -> Iterator[Pair]:
    """The pictures that a ``metadata.jsonl`` or ``metadata.csv`` lists; without one, all that have a .txt of the same name."""
    listed = [name for name in METADATA if (path / name).is_file()]
    parts = sorted({file.parent.name for name in METADATA for file in path.glob(f"*/{name}")})
    if len(listed) > 1:
        raise DataError(f"{path} has both {' and '.join(listed)}: name the one to read, as table:{path / listed[0]}")
    if listed:
        yield from read_table(path / listed[0], path, left_out)
    elif parts:
        raise DataError(f"{path} has its metadata in the folders {', '.join(parts)}: name the one to read")
    else:
        yield from _read_captioned(path, left_out)


def _read_captioned(folder: Path, left_out: Counter[str]) -> Iterator[Pair]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        there = set(names)
        for name in sorted(names):
            stem, ending = os.path.splitext(name)
            if ending.lower() not in PICTURE_ENDINGS or name.startswith("."):
                continue
            caption = read_caption(Path(place, f"{stem}.txt")) if f"{stem}.txt" in there else ""
            if caption:
                yield Pair(Path(place, name), (caption,))
            else:
                left_out["pictures without caption"] += 1
