"""Flickr30k, of which there are three files: Karpathy's JSON, the authors' .token, and a CSV of image and comment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..pairs import DataError, Pair
from .paths import find_beside, join_within
from .records import load_json, open_text, read_csv

_TRAINING = ("train", "restval")
_FOLDERS = ("flickr30k-images", "flickr30k_images")

Comment = tuple[str, str, str]


def read_flickr30k(path: Path, pictures: Path | None, left_out: Counter[str]) -> Iterator[Pair]:
    """One pair a picture, with its five sentences.

    Of Karpathy's file only pictures of the splits train and restval are read: its test pictures are what the field
    measures on. Without `pictures` they are looked for in ``flickr30k-images`` beside or above the file.
    """
    root = pictures or find_beside(path, *_FOLDERS)
    comments = _read_karpathy if path.suffix.lower() == ".json" else _read_comments
    found: dict[str, tuple[str, list[str]]] = {}
    for where, name, text in comments(path, left_out):
        if text:
            found.setdefault(name, (where, []))[1].append(text)
        else:
            left_out["sentences without words"] += 1
    for name, (where, texts) in found.items():
        yield Pair(join_within(root, name, where), tuple(texts))


def _read_karpathy(path: Path, left_out: Counter[str]) -> Iterator[Comment]:
    images = load_json(path).get("images")
    for number, image in enumerate(images if isinstance(images, list) else [], start=1):
        where = f"image {number} of {path}"
        try:
            name = str(Path(image.get("filepath") or "", image["filename"]))
            split, sentences = image.get("split", "train"), [sentence["raw"].strip() for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError):
            raise DataError(f"{where} is not as Karpathy's: wanted filename, split, and sentences with raw") from None
        if split in _TRAINING:
            yield from ((where, name, sentence) for sentence in sentences)
        else:
            left_out[f"pictures of the split {split}"] += 1


def _read_comments(path: Path, left_out: Counter[str]) -> Iterator[Comment]:
    with open_text(path) as file:
        first = file.readline()
    if "#" in first.partition("\t")[0]:
        yield from _read_token(path)
    elif "|" in first:
        yield from _read_barred(path)
    else:
        yield from (_pick(row, where) for where, row in read_csv(path))


def _read_token(path: Path) -> Iterator[Comment]:
    """Lines of ``NAME.jpg#NUMBER<tab>sentence``."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            where = f"line {number} of {path}"
            name, tab, text = line.partition("\t")
            if line.strip() and not (tab and "#" in name):
                raise DataError(f"{where} is not NAME.jpg#NUMBER, a tab, and a sentence")
            if line.strip():
                yield where, name.rpartition("#")[0], text.strip()


def _read_barred(path: Path) -> Iterator[Comment]:
    """Lines of ``image_name| comment_number| comment``, where quotes mean nothing; one of the well-known file lacks a bar."""
    with open_text(path) as file:
        header = [name.strip().lower() for name in file.readline().split("|")]
        for number, line in enumerate(file, start=2):
            cells = [cell.strip() for cell in line.split("|", len(header) - 1)]
            if any(cells):
                yield _pick(
                    dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True)), f"line {number} of {path}"
                )


def _pick(row: dict[str, Any], where: str) -> Comment:
    name = row.get("image_name") or row.get("image")
    text = row.get("comment", row.get("caption"))
    if not name or text is None:
        raise DataError(f"{where} lacks a picture or a comment: wanted the columns image (or image_name) and comment")
    return where, name, text.strip()
