"""Text files as people have them: in any encoding that names itself, in lines that end where an editor ends them."""

from __future__ import annotations

import codecs
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

# Characters of the longest line that is read: a file without line ends, or a device, would otherwise fill the memory.
MAX_LINE = 1 << 24
# UTF-32's mark of small endian begins like UTF-16's.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HEAD = 1 << 12
_ZERO = "it holds a zero byte, as UTF-16 without its mark would"
_LINE_END = re.compile(r"\r\n|\n|\r")


class DataError(ValueError):
    """A file or data set that cannot be read; the message is one sentence for the user."""


def read_text(path: Path) -> str:
    """The whole of a text file: UTF-8 with or without a byte order mark, or UTF-16 or UTF-32 with one.

    Raises DataError, with the file and the line, for other bytes and for what is no regular file; FileNotFoundError.
    """
    _check_regular(path)
    return decode_text(path.read_bytes(), str(path))


def decode_text(content: bytes, name: str) -> str:
    """The text of some bytes, as `read_text` reads them. Raises DataError, which calls them `name`."""
    encoding = _encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = _line_of(content[: error.start].decode(encoding, "ignore"))
        raise _not_text(name, line, error.reason) from None
    if "\0" in text:
        raise _not_text(name, _line_of(text[: text.index("\0")]), _ZERO)
    return text


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a text file with their numbers from 1, without their ends: \n, \r\n or \r and nothing else.

    Raises what `read_text` raises, and DataError for a line of more than `MAX_LINE` characters.
    """
    with open_text(path) as file:
        for number, line in enumerate(bounded_lines(file, path), start=1):
            yield number, line.rstrip("\r\n")


def split_lines(text: str) -> list[str]:
    r"""The lines of a text, as `read_lines` ends them. Unlike ``str.splitlines``: \v, \f and U+2028 stay within a line."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """A text file to read from, its line ends as they are. Raises what `read_text` raises, while it is read."""
    _check_regular(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    encoding = _encoding_of(head)
    if encoding.startswith("utf-8") and 0 in head:
        raise _not_text(path, _line_of(head[: head.index(0)].decode("latin-1")), _ZERO)
    try:
        with path.open(encoding=encoding, newline="") as file:
            yield file
    except UnicodeDecodeError:
        # The reader knows where in its own buffer it failed: the line is found by reading again.
        decode_text(path.read_bytes(), str(path))
        raise


def bounded_lines(file: TextIO, path: Path) -> Iterator[str]:
    """The lines of an open file with their ends. Raises DataError for one of more than `MAX_LINE` characters."""
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE and line[-1] not in "\r\n":
            raise DataError(f"line {number} of {path} is longer than {MAX_LINE:,} characters")
        yield line


def _check_regular(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}, wanted a text file")


def _encoding_of(head: bytes) -> str:
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")


def _not_text(name: str | Path, line: int, reason: str) -> DataError:
    return DataError(f"line {line} of {name} is not text in UTF-8, or in UTF-16 with its mark ({reason}): save it as UTF-8")


def _line_of(before: str) -> int:
    return 1 + len(_LINE_END.findall(before))
