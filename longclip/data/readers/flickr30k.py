"""Flickr30k and Flickr8k, of which there are three files: Karpathy's JSON, the authors' .token, and a CSV of comments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...textfiles import open_text, read_lines
from ..left_out import LeftOut
from ..pairs import DataError, Pair
from .fields import read_texts
from .karpathy import _FOLDERS, is_karpathys, read_karpathy
from .paths import find_beside, join_within
from .records import load_json, read_csv

Comment = tuple[str, str, str]


def read_flickr30k(path: Path, pictures: Path | None, left_out: LeftOut) -> Iterator[Pair]:
    """One pair a picture, with its five sentences.

    Karpathy's file has splits, the others have none. Without `pictures` they are looked for in ``flickr30k-images`` beside or
    above the file.
    """
    if path.suffix.lower() == ".json":
        content = load_json(path)
        if content.get("images") and not is_karpathys(content):
            raise DataError(f"image 1 of {path} is not as Karpathy's: wanted filename, split, and sentences with raw")
        yield from read_karpathy(path, content, pictures, left_out)
        return
    root = pictures or find_beside(path, *_FOLDERS)
    for where, name, value in _read_comments(path):
        texts = read_texts(value, where, "comment")
        if texts:
            yield Pair(join_within(root, name, where), tuple(texts))
        else:
            left_out.add("sentences without words", where)


def _read_comments(path: Path) -> Iterator[Comment]:
    with open_text(path) as file:
        first = file.readline(1 << 16)
    if "#" in first.partition("\t")[0]:
        yield from _read_token(path)
    elif "|" in first:
        yield from _read_barred(path)
    else:
        yield from (_pick(row, where) for where, row in read_csv(path))


def _read_token(path: Path) -> Iterator[Comment]:
    """Lines of ``NAME.jpg#NUMBER<tab>sentence``."""
    for number, line in read_lines(path):
        where = f"line {number} of {path}"
        name, tab, text = line.partition("\t")
        if line.strip() and not (tab and "#" in name):
            raise DataError(f"{where} is not NAME.jpg#NUMBER, a tab, and a sentence")
        if line.strip():
            yield where, name.rpartition("#")[0], text


def _read_barred(path: Path) -> Iterator[Comment]:
    """Lines of ``image_name| comment_number| comment``, where quotes mean nothing; one of the well-known file lacks a bar."""
    lines = read_lines(path)
    header = [name.strip().lower() for name in next(lines)[1].split("|")]
    for number, line in lines:
        cells = [cell.strip() for cell in line.split("|", len(header) - 1)]
        if any(cells):
            yield _pick(dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True)), f"line {number} of {path}")


def _pick(row: dict[str, Any], where: str) -> Comment:
    name = row.get("image_name") or row.get("image")
    text = row.get("comment", row.get("caption"))
    if not name or text is None:
        raise DataError(f"{where} lacks a picture or a comment: wanted the columns image (or image_name) and comment")
    return where, name, text
