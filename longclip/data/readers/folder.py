"""Image folders as the `datasets` library reads them, and pictures with text files beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ..left_out import LeftOut
from ..pairs import DataError, Pair
from ..splits import is_split, split_name
from .records import read_caption
from .table import read_table
from .walking import is_junk, walk_pictures

METADATA = ("metadata.jsonl", "metadata.csv")


def read_image_folder(path: Path, left_out: LeftOut) -> Iterator[Pair]:
    """The pictures that a ``metadata.jsonl`` or ``metadata.csv`` lists; without one, all that have a .txt of the same name.

    Without one, folders in it that have metadata are read by those, and the rest of it by its .txt. The split of a picture is
    what its row says, or else the first folder that it lies in, if that is called train, val, test or the like.
    """
    tables = find_metadata(path)
    pairs = (pair for table in tables for pair in read_table(table, table.parent, left_out))
    for pair in chain(pairs, _read_captioned(path, tables, left_out)):
        yield pair if pair.split else replace(pair, split=split_of(pair.picture, path))


def has_metadata(path: Path) -> bool:
    """Whether a folder has metadata of its own."""
    return any((path / name).is_file() for name in METADATA)


def find_metadata(path: Path) -> list[Path]:
    """The metadata of a folder: its own, or those of the folders in it. Raises DataError where one has two."""
    found = _metadata_of(path)
    if found:
        return found
    places = sorted(place for place in path.iterdir() if place.is_dir() and not is_junk(place.name))
    return [table for place in places for table in _metadata_of(place)]


def split_of(picture: Path, root: Path) -> str:
    """The split that the first folder below `root` on the way to a picture is called after; "" for none."""
    parts = picture.relative_to(root).parts[:-1] if picture.is_relative_to(root) else ()
    return split_name(parts[0]) if parts and is_split(parts[0]) else ""


def walk_unlisted(path: Path, tables: list[Path], left_out: LeftOut) -> Iterator[Path]:
    """The pictures of a folder that no metadata speak for: none, where the folder has its own."""
    places = [os.path.join(table.parent, "") for table in tables]
    if os.path.join(path, "") not in places:
        yield from (picture for picture in walk_pictures(path, left_out) if not str(picture).startswith(tuple(places)))


def _metadata_of(place: Path) -> list[Path]:
    listed = [place / name for name in METADATA if (place / name).is_file()]
    if len(listed) > 1:
        raise DataError(f"{place} has both {' and '.join(METADATA)}: name the one to read, as table:{listed[0]}")
    return listed


def _read_captioned(folder: Path, tables: list[Path], left_out: LeftOut) -> Iterator[Pair]:
    for picture in walk_unlisted(folder, tables, left_out):
        beside = picture.with_suffix(".txt")
        caption = read_caption(beside) if beside.is_file() else ""
        if caption:
            yield Pair(picture, (caption,))
        else:
            left_out.add("pictures without caption", picture.name)
