"""A row of a table, whatever kind of file it stands in, as a pair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..pairs import DataError, Pair
from .paths import join_within

PICTURE = ("file_name", "image", "filepath", "image_path", "path")
CAPTION = ("long_caption", "caption", "text", "title")
LABEL = ("label", "subject")


def pair_of_row(row: Any, root: Path, where: str) -> Pair:
    """The pair of a row whose picture lies within `root`. Raises DataError for one without picture or caption."""
    fields = text_fields(row, where)
    name = next((row[key] for key in PICTURE if row.get(key)), None)
    if not isinstance(name, str):
        raise DataError(f"{where} has no picture: wanted a file name as {_either(PICTURE)}, {_found(row)}")
    if not fields["captions"]:
        raise DataError(f"{where} has no caption: wanted words as {_either((*CAPTION, 'captions'))}, {_found(row)}")
    return Pair(join_within(root, name, where), **fields)


def text_fields(row: Any, where: str) -> dict[str, Any]:
    """`captions`, `short`, `label` and `family` of a row, as `Pair` takes them; what the row lacks is empty.

    The captions are the first of long_caption, caption, text and title that holds words, then those of the list
    `captions`. Raises DataError for a row that is no object, or holds something other than words where words belong.
    """
    if not isinstance(row, dict):
        raise DataError(f"{where} is {row!r:.40}, wanted an object with fields")
    first = next(filter(None, (list(_words(row, key, where)) for key in CAPTION)), [])
    captions = dict.fromkeys([*first, *_words(row, "captions", where)])
    return {
        "captions": tuple(captions),
        "short": next(_words(row, "short_caption", where), ""),
        "label": next(filter(None, (_scalar(row, key, where) for key in LABEL)), ""),
        "family": _scalar(row, "family", where),
    }


def _words(row: dict[str, Any], key: str, where: str) -> Iterator[str]:
    """The texts of a field: one, a list of them, or for `captions` in a CSV a list written as JSON; blank ones left out."""
    value = row.get(key)
    if key == "captions" and isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise DataError(f"{where} has captions that begin like a JSON list but are none") from None
    for text in value if isinstance(value, list) else [value]:
        if text is not None and not isinstance(text, str):
            raise DataError(f"{where} has {text!r:.40} as {key}, wanted text")
        if text and text.strip():
            yield text.strip()


def _scalar(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if value is not None and not isinstance(value, (str, int)):
        raise DataError(f"{where} has {value!r:.40} as {key}, wanted text or a number")
    return "" if value is None else str(value).strip()


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _found(row: dict[str, Any]) -> str:
    return f"found {', '.join(map(str, row)):.200}" if row else "found no fields"
