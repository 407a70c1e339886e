"""Tables somebody made: JSON lines, a JSON list, CSV or TSV, with a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..left_out import LeftOut
from ..pairs import DataError, Pair
from .fields import no_caption, pair_of_row, picture_name
from .records import read_rows


def read_table(path: Path, pictures: Path | None, left_out: LeftOut) -> Iterator[Pair]:
    """One pair a row, with the columns of `fields`. Rows without picture or caption are left out; not all of them may be.

    File names are relative to `pictures`, or else to the table's own folder.
    """
    root = pictures or path.parent
    any_pair, fault = False, None
    for where, row in read_rows(path):
        if isinstance(row, dict) and picture_name(row) is None:
            left_out.add("rows without picture", where)
            fault = fault or _fault(row, root, where)
            continue
        pair = pair_of_row(row, root, where)
        if pair.captions:
            any_pair = True
            yield pair
        else:
            left_out.add("rows without caption", where)
            fault = fault or no_caption(row, where)
    if fault and not any_pair:
        raise fault


def _fault(row: dict, root: Path, where: str) -> DataError | None:
    try:
        pair_of_row(row, root, where)
    except DataError as error:
        return error
    return None
