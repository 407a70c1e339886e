"""Where the pictures that a list names are: always within a root."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from ..pairs import DataError

PICTURE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"),
)


def join_within(root: Path, name: str, where: str) -> Path:
    """The path of a picture that `where` names, the same however it is written. Raises DataError for one outside `root`.

    Only the names are looked at, never the disk: a list may have millions. Links inside the root are its owner's, and followed.
    """
    if not isinstance(name, str):
        raise DataError(f"{where} names {name!r:.40} as its picture, wanted a file name")
    base, real = _places(root)
    path = os.path.abspath(os.path.join(base, name))
    if path.startswith(os.path.join(real, "")):
        path = os.path.join(base, os.path.relpath(path, real))
    if not path.startswith(os.path.join(base, "")):
        raise DataError(f"{where} names {name!r}, which lies outside the pictures' folder {base}")
    return Path(path)


@lru_cache(maxsize=8)
def _places(root: Path) -> tuple[str, str]:
    """A folder as it is called, and where it really is: a list may name its pictures by either."""
    base = os.path.abspath(root)
    return base, os.path.realpath(base)


def find_beside(path: Path, *names: str) -> Path:
    """The first folder of these names beside a file or one level up, as data sets are unpacked; else the file's own."""
    places = [folder / name for folder in (path.parent, path.parent.parent) for name in names]
    return next((place for place in places if place.is_dir()), path.parent)
