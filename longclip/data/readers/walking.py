"""The pictures of a folder: known by what they hold, linked folders included, junk passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..left_out import LeftOut
from .paths import PICTURE_ENDINGS

# Files that stand beside pictures and speak of them: not looked into.
BESIDE = (".txt", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".md", ".html", ".npy", ".parquet", ".tar", ".zip")
_JUNK_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")
_JUNK_FILES = ("thumbs.db", "desktop.ini")


def is_picture(path: Path) -> bool:
    """Whether a regular file is a picture: by a known ending, or else by its first bytes, whatever it is called."""
    ending = path.suffix.lower()
    if ending in BESIDE or not path.is_file():
        return False
    if ending in PICTURE_ENDINGS:
        return True
    from ...images import HEAD, begins_like_picture

    try:
        with path.open("rb") as file:
            return begins_like_picture(file.read(HEAD))
    except OSError:
        return False


def walk_pictures(root: Path, left_out: LeftOut) -> Iterator[Path]:
    """Every picture within a folder and the folders in it, in the order of their names.

    Linked folders are entered, each once: not where they lead back into `root` or above it. Hidden files and what systems
    leave behind (``__MACOSX``) are passed over. What is no picture, and a link that leads nowhere, is counted.
    """
    yield from _walk(Path(root), {os.path.join(os.path.realpath(root), "")}, left_out)


def _walk(folder: Path, seen: set[str], left_out: LeftOut) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        left_out.add("folders that cannot be opened", f"{folder.name}, {error.strerror}")
        return
    for entry in entries:
        path = folder / entry.name
        if is_junk(entry.name):
            left_out.add("hidden files and junk", entry.name)
        elif entry.is_dir():
            if not entry.is_symlink() or _may_enter(path, seen):
                yield from _walk(path, seen, left_out)
            else:
                left_out.add("linked folders that were read already", entry.name)
        elif not entry.is_file():
            left_out.add("links that lead nowhere, and what is no file", entry.name)
        elif is_picture(path):
            yield path
        elif path.suffix.lower() not in BESIDE:
            left_out.add("files that are no pictures", entry.name)


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that a system left behind."""
    return name.startswith(".") or name in _JUNK_FOLDERS or name.lower() in _JUNK_FILES


def _may_enter(path: Path, seen: set[str]) -> bool:
    """Whether a linked folder is to be read: what lies within one that was entered, or around it, would be shown twice."""
    place = os.path.join(os.path.realpath(path), "")
    if any(place.startswith(other) or other.startswith(place) for other in seen):
        return False
    seen.add(place)
    return True
