"""ShareGPT4V (arXiv 2311.12793), what Long-CLIP is trained on: a JSON list of conversations about pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..pairs import DataError, Pair
from .paths import join_within
from .records import read_json_list


def read_sharegpt4v(path: Path, pictures: Path | None, left_out: Counter[str]) -> Iterator[Pair]:
    """The first turn of "gpt" in each record is the caption. Records without picture or caption are left out.

    The file holds both captions (``share-captioner_…``) and mixtures for instruction tuning, some of them without picture.
    """
    for where, record in read_json_list(path):
        name, caption = record.get("image"), _caption(record.get("conversations"), where)
        if not name or not isinstance(name, str):
            left_out["records without picture"] += 1
        elif not caption:
            left_out["records without caption"] += 1
        else:
            yield Pair(join_within(pictures or path.parent, name, where), (caption,))


def _caption(turns: Any, where: str) -> str:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise DataError(f"{where} has no list of conversations: is it ShareGPT4V?")
    return next((str(turn.get("value") or "").strip() for turn in turns if turn.get("from") == "gpt"), "")
