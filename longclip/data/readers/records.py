"""The records of JSON, JSON-lines, CSV and text files, one at a time, each with the place that an error names."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...textfiles import bounded_lines, open_text, read_lines, read_text
from ..pairs import DataError

MAX_TEXT = 1_000_000
_CHUNK = 1 << 20
_MAX_RECORD = 16 * _CHUNK
_HEAD = 1 << 12
_BEFORE_FIRST = re.compile(r"\s*")
_BEFORE_NEXT = re.compile(r"\s*,\s*|\s*(?=\])")

Record = tuple[str, Any]
OnError = Callable[[DataError], None]


def read_rows(path: Path, on_error: OnError | None = None) -> Iterator[Record]:
    """The rows of a table: .jsonl, .csv or .tsv by its ending, any other file by how it begins.

    `on_error` hears of a line that is no JSON, which is then passed over; without it that raises DataError.
    """
    ending = path.suffix.lower()
    if ending in (".jsonl", ".ndjson"):
        return read_json_lines(path, on_error)
    if ending in (".csv", ".tsv"):
        return read_csv(path)
    with open_text(path) as file:
        first = file.read(_HEAD).lstrip()[:1]
    return {"[": read_json_list, "{": read_json_lines}.get(first, read_csv)(path)


def read_json_lines(path: Path, on_error: OnError | None = None) -> Iterator[Record]:
    """One JSON value a line; blank lines are passed over."""
    for number, line in read_lines(path):
        if not line.strip():
            continue
        where = f"line {number} of {path}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            fault = DataError(f"{where} is not JSON: {error}")
            if on_error is None:
                raise fault from None
            on_error(fault)
        else:
            yield where, value


def read_json_list(path: Path) -> Iterator[Record]:
    """The objects of one JSON list, read piece by piece: the list of ShareGPT4V would fill several times its size."""
    decode = json.JSONDecoder().raw_decode
    with open_text(path) as file:
        text, at, number = file.read(_CHUNK).lstrip(), 1, 1
        if text[:1] != "[":
            raise DataError(f"{path} is not a JSON list of records")
        while True:
            where = f"record {number} of {path}"
            gap = (_BEFORE_FIRST if number == 1 else _BEFORE_NEXT).match(text, at)
            start = gap.end() if gap else len(text)
            if text[start : start + 1] == "]":
                return
            try:
                value, end = decode(text, start)
            except RecursionError:
                raise DataError(f"{where} is nested too deeply") from None
            except ValueError as error:
                # Not JSON, or not all of it is in `text` yet.
                more = file.read(max(_CHUNK, len(text) - at)) if len(text) - at < _MAX_RECORD else ""
                if not more:
                    raise DataError(f"{where} is not JSON, or the file is cut off: {error.args[0]:.60}") from None
                text, at = text[at:] + more, 0
                continue
            if not isinstance(value, dict):
                raise DataError(f"{where} is {value!r:.40}, wanted an object with fields")
            yield where, value
            at, number = end, number + 1


def read_csv(path: Path) -> Iterator[Record]:
    """Rows below a header, in which commas, tabs, semicolons or bars part the columns; names of columns in lower case."""
    with open_text(path) as file:
        lines = bounded_lines(file, path)
        first = next(lines, "")
        delimiter = max(",\t;|", key=first.count)
        header = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
        # Tables that were saved with their row numbers have columns without a name.
        twice = next((name for name in header if name and header.count(name) > 1), None)
        if twice:
            raise DataError(f"line 1 of {path} names the column {twice!r} twice")
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            for cells in rows:
                where = f"line {rows.line_num + 1} of {path}"
                if cells and len(cells) != len(header):
                    raise DataError(
                        f"{where} has {len(cells)} cells, the header {len(header)}: quote cells that hold a {delimiter!r}"
                    )
                if cells:
                    yield where, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise DataError(f"line {rows.line_num + 1} of {path} is not CSV: {error}") from None


def load_json(path: Path) -> dict[str, Any]:
    """A whole JSON file that holds one object."""
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON, or is cut off: line {error.lineno}, {error.msg}") from None
    except RecursionError:
        raise DataError(f"{path} is nested too deeply") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} holds a {type(value).__name__}, wanted an object")
    return value


def read_caption(path: Path) -> str:
    """The words of a small text file."""
    with open_text(path) as file:
        text = file.read(MAX_TEXT + 1)
    if len(text) > MAX_TEXT:
        raise DataError(f"{path} has more than {MAX_TEXT:,} characters: wanted a caption")
    return text.strip()
