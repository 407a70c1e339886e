"""Whether what lies on the disk is still what was read: names, sizes and times of files, and the content of what was read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longclip.evaluation.data import EvaluationSet


def stamp(path: str | os.PathLike[str]) -> str:
    """Of a file or of all files in a folder; another one as soon as any is changed, added or removed. Empty for none."""
    path = Path(path)
    if path.is_file():
        return _digest([_stat(path)])
    if not path.is_dir():
        return ""
    files = (Path(folder, name) for folder, _, names in os.walk(path, followlinks=True) for name in names)
    return _digest(sorted(f"{file.relative_to(path)} {_stat(file)}" for file in files))


def content_of(data: EvaluationSet) -> str:
    """Of a set's captions, classes and pictures: those in files by their stamps."""
    parts: list[Any] = [data.name, *data.long, *data.short, *data.families, *data.classes, *data.class_names, *data.owners]
    return _digest(repr(part) for part in (*parts, *map(_picture, data.pictures)))


def _picture(picture: Any) -> Any:
    if isinstance(picture, (str, os.PathLike)):
        return str(picture), _stat(Path(picture))
    return hashlib.sha256(picture if isinstance(picture, bytes) else picture.tobytes()).digest()


def _stat(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:32]
