"""Urban-1k, the retrieval benchmark of Long-CLIP (arXiv 2403.15378): a folder of pictures and one of captions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..left_out import LeftOut
from ..pairs import DataError, Pair
from .records import read_caption
from .walking import walk_pictures


def read_urban1k(path: Path, left_out: LeftOut) -> Iterator[Pair]:
    """``image/NAME.jpg`` with the words of ``caption/NAME.txt``, in the order of the names."""
    for name in ("image", "caption"):
        if not (path / name).is_dir():
            raise DataError(f"{path} has no folder {name}: wanted image/NAME.jpg and caption/NAME.txt")
    written = {name for name in os.listdir(path / "caption") if name.endswith(".txt") and not name.startswith(".")}
    for picture in walk_pictures(path / "image", left_out):
        name = picture.relative_to(path / "image").with_suffix(".txt").as_posix()
        caption = read_caption(path / "caption" / name) if name in written else ""
        written.discard(name)
        if caption:
            yield Pair(picture, (caption,))
        else:
            left_out.add("pictures without caption", picture.name)
    for name in sorted(written):
        left_out.add("captions without picture", name)
