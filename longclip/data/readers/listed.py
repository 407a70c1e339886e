"""The pictures of a folder or a table with what is said of them, captions not needed: what galleries are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..collected import Collected
from ..left_out import LeftOut
from ..pairs import DataError, Pair
from ..splits import ALL, choose_split
from .fields import OnError, pair_of_row, picture_name
from .folder import find_metadata, split_of, walk_unlisted
from .records import read_caption, read_rows


@dataclass(frozen=True)
class Listed:
    """A picture: its id, its pair (which may have no caption), and all fields of its (first) row."""

    id: str
    pair: Pair
    row: dict[str, Any] = field(default_factory=dict)


def read_listed_folder(folder: Path, left_out: LeftOut, on_error: OnError | None = None) -> Iterator[Listed]:
    """The pictures that a folder's metadata list, or without metadata all it holds; ids are names within the folder.

    Without its own, the metadata of folders in it speak for those.

    A row that cannot be read raises DataError; with `on_error` that hears of it, and the row is left out.
    """
    tables = find_metadata(folder)
    for table in tables:
        for listed in read_listed_table(table, table.parent, left_out, on_error):
            part = table.parent.relative_to(folder)
            id = listed.id if "id" in listed.row else (part / listed.id).as_posix()
            split = listed.pair.split or split_of(listed.pair.picture, folder)
            yield replace(listed, id=id, pair=replace(listed.pair, split=split))
    for picture in walk_unlisted(folder, tables, left_out):
        try:
            text = picture.with_suffix(".txt")
            caption = read_caption(text) if text.is_file() else ""
        except DataError as error:
            if on_error is None:
                raise
            on_error(error)
            caption = ""
        name = picture.relative_to(folder).as_posix()
        pair = Pair(picture, (caption,) if caption else (), split=split_of(picture, folder))
        yield Listed(name, pair, {"file_name": name, "caption": caption})


def read_listed_table(path: Path, root: Path, left_out: LeftOut, on_error: OnError | None = None) -> Iterator[Listed]:
    """The rows of a table that name a picture within `root`; ids are their `id`, or the file names."""
    fault, any_row = None, False
    for where, row in read_rows(path, on_error):
        try:
            pair = pair_of_row(row, root, where)
        except DataError as error:
            fault = fault or error
            if isinstance(row, dict) and picture_name(row) is None and on_error is None:
                left_out.add("rows without picture", where)
            elif on_error is None:
                raise
            else:
                on_error(error)
            continue
        any_row, id = True, row.get("id")
        yield Listed(str(picture_name(row) if id is None or id == "" else id), pair, row)
    if fault and not any_row and on_error is None:
        raise fault


def group_listed(entries: Iterable[Listed], split: str | None, name: str) -> Iterator[Listed]:
    """One of each picture of a split: rows that name the same file together, with all their captions in their order.

    Raises DataError for a split that is not there.
    """
    kept: list[str] = []

    def pairs() -> Iterator[Pair]:
        for entry in entries:
            kept.append(json.dumps([entry.id, entry.row]))
            yield entry.pair

    collected = Collected(pairs())
    chosen = choose_split(collected.split_pictures, split, (), name)
    for first, pair in collected.items(None if chosen == ALL else chosen.split("+")):
        id, row = json.loads(kept[first])
        yield Listed(id, pair, row)
