"""A row of a table, whatever kind of file it stands in, as a pair; and the one way to read a field of captions."""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from pathlib import Path
from typing import Any

from ..pairs import DataError, Pair
from ..splits import split_name
from .paths import join_within
from .records import OnError

PICTURE = ("file_name", "filename", "image", "filepath", "image_path", "image_name", "path", "img")
# The first of these that holds words gives the captions, and these give further ones.
CAPTION = ("long_caption", "caption", "text", "title", "sentence", "comment")
CAPTIONS = ("captions", "sentences", "texts", "comments", "raw")
_NUMBERED = re.compile(r"(?:long_caption|caption|text|title|sentence|comment|raw)s?[ _.-]?(\d+)")
# Where the words of a caption stand that is an object: Karpathy's, COCO's and others'.
_WORDS = ("raw", "caption", "sentence", "text", "comment")
LABEL = ("label", "subject")


def text_fields(row: Any, where: str, on_error: OnError | None = None) -> dict[str, Any]:
    """`captions`, `short`, `label`, `family` and `split` of a row, as `Pair` takes them; what the row lacks is empty.

    The captions are those of the first of `CAPTION` that holds words, then those of `CAPTIONS` and of numbered columns
    (caption_0, caption_1, …) that were not told yet. Raises DataError for a row that is no object, and for a field that
    holds something else than it should; with `on_error` that hears of the field, which is taken as empty.
    """
    if not isinstance(row, dict):
        raise DataError(f"{where} is {row!r:.40}, wanted an object with fields")

    def read(key: str) -> list[str]:
        try:
            return read_texts(row.get(key), where, key)
        except DataError as error:
            if on_error is None:
                raise
            on_error(error)
            return []

    captions = next(filter(None, map(read, CAPTION)), [])
    numbered = sorted((int(match[1]), key) for key in row if (match := _NUMBERED.fullmatch(str(key).lower())))
    for more in (*(read(key) for key in CAPTIONS), [text for _, key in numbered for text in read(key)]):
        told = set(captions)
        captions = captions + [text for text in more if text not in told]
    return {
        "captions": tuple(captions),
        "short": next(iter(read("short_caption")), ""),
        "label": next(filter(None, (_scalar(row, key, where, on_error) for key in LABEL)), ""),
        "family": _scalar(row, "family", where, on_error),
        "split": split_name(_scalar(row, "split", where, on_error)),
    }


def read_texts(value: Any, where: str, key: str) -> list[str]:
    """The captions that a field holds: a text, a number, an object with words (``{"raw": …}``), or a list of these.

    A list may be written out as JSON or as Python does it, as tables do. Nothing, blanks and NaN are no caption. Raises
    DataError for anything else.
    """
    if isinstance(value, str):
        items = _written_list(value.strip(), where, key)
        if items is None:
            text = value.strip()
            return [] if text in ("", "nan", "NaN") else [text]
        value = items
    if value is None or isinstance(value, float) and math.isnan(value):
        return []
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in read_texts(item, where, key)]
    if isinstance(value, dict) and (name := next((name for name in _WORDS if name in value), None)):
        return read_texts(value[name], where, key)
    raise DataError(f"{where} has {value!r:.40} as {key}, wanted text, or a list of texts")


def picture_name(row: dict[str, Any]) -> str | None:
    """The file name in a row, also where it is the path in an object; None where there is none."""
    for key in PICTURE:
        value = row.get(key)
        value = value.get("path") if isinstance(value, dict) else value
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def is_text_field(key: str) -> bool:
    """Whether a field of this name holds captions."""
    return key in CAPTION or key in CAPTIONS or bool(_NUMBERED.fullmatch(str(key).lower()))


def pair_of_row(row: Any, root: Path, where: str, on_error: OnError | None = None) -> Pair:
    """The pair of a row whose picture lies within `root`; it may have no caption. Raises DataError for one without picture."""
    fields = text_fields(row, where, on_error)
    name = picture_name(row)
    if name is None:
        raise DataError(f"{where} has no picture: wanted a file name as {_either(PICTURE)}, {found(row)}")
    return Pair(join_within(root, name, where), **fields)


def no_caption(row: dict[str, Any], where: str) -> DataError:
    """What is wrong with a row without caption."""
    return DataError(f"{where} has no caption: wanted words as {_either((*CAPTION, *CAPTIONS))}, {found(row)}")


def found(row: dict[str, Any]) -> str:
    """The fields that a row has."""
    return f"found {', '.join(map(str, row)):.200}" if row else "found no fields"


def _written_list(text: str, where: str, key: str) -> list[Any] | None:
    """The list that a text writes out; None for any other text."""
    if not (text.startswith("[") and (text.endswith("]") or key in CAPTIONS)):
        return None
    value: Any = None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text) if not _joins_texts(text) else None
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            value = None
    if isinstance(value, list) and all(isinstance(item, (str, dict, type(None))) for item in value):
        return value
    if key in CAPTIONS:
        raise DataError(f"{where} has {key} that begin like a list but are none, neither as JSON nor as Python writes it")
    return None


def _joins_texts(text: str) -> bool:
    """Whether two texts stand side by side without a comma, as NumPy writes them: Python would take them for one."""
    try:
        kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    except (tokenize.TokenError, SyntaxError):
        return False
    kinds = [kind for kind in kinds if kind != tokenize.NL]
    return any(a == b == tokenize.STRING for a, b in zip(kinds, kinds[1:], strict=False))


def _scalar(row: dict[str, Any], key: str, where: str, on_error: OnError | None) -> str:
    value = row.get(key)
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if value is not None and not isinstance(value, (str, int, float)):
        error = DataError(f"{where} has {value!r:.40} as {key}, wanted text or a number")
        if on_error is None:
            raise error
        on_error(error)
        return ""
    return "" if value is None else str(value).strip()


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
