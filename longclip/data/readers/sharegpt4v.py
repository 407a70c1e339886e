"""ShareGPT4V (arXiv 2311.12793), what Long-CLIP is trained on: a JSON list of conversations about pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..left_out import LeftOut
from ..pairs import DataError, Pair
from .fields import read_texts
from .paths import join_within
from .records import read_json_list

# The first pictures are held out in Long-CLIP's training (arXiv 2403.15378), and measured on.
HELD_OUT = 1000


def read_sharegpt4v(path: Path, pictures: Path | None, left_out: LeftOut) -> Iterator[Pair]:
    """The first turn of "gpt" in each record is the caption. Records without picture or caption are left out.

    The file holds both captions (``share-captioner_…``) and mixtures for instruction tuning, some of them without picture.
    """
    for where, record in read_json_list(path):
        name, captions = record.get("image"), _captions(record.get("conversations"), where)
        if not name or not isinstance(name, str):
            left_out.add("records without picture", where)
        elif not captions:
            left_out.add("records without caption", where)
        else:
            yield Pair(join_within(pictures or path.parent, name, where), captions)


def _captions(turns: Any, where: str) -> tuple[str, ...]:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise DataError(f"{where} has no list of conversations: is it ShareGPT4V?")
    value = next((turn.get("value") for turn in turns if turn.get("from") == "gpt"), None)
    return tuple(read_texts(value, where, "value"))
