"""Tables somebody made: JSON lines, a JSON list, CSV or TSV, with a folder of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..pairs import Pair
from .fields import pair_of_row
from .records import read_rows


def read_table(path: Path, pictures: Path | None, left_out: Counter[str]) -> Iterator[Pair]:
    """One pair a row, with the columns of `fields`; every row must have a picture and a caption.

    File names are relative to `pictures`, or else to the table's own folder.
    """
    for where, row in read_rows(path):
        yield pair_of_row(row, pictures or path.parent, where)
