"""What the classes of folders are called: as a file says, or as the folders are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..textfiles import read_text, split_lines

IMAGENET = "imagenet"
_FILES = ("classnames.json", "classes.txt")


def read_class_names(folder: Path, keys: list[str], names: str | Path | None = None) -> dict[str, str]:
    """The name of each class, by its folder, in the order of the folders.

    keys: the folders' names, sorted. names: a file, or "imagenet" for open_clip's names of its 1,000 folders; without it
    ``classnames.json`` or ``classes.txt`` in the folder. A JSON file is {folder: name}, or ImageNet's {number: [folder, name]};
    a text file has a line "folder name" for each class, or just a name for each of the folders in their order. Folders that a
    file of folders does not list are not in what is returned. Two classes may have one name. Without any, a folder's name is
    its class's, "_" read as a space. Raises ValueError for a file that does not fit, FileNotFoundError.
    """
    if names == IMAGENET:
        return _imagenet(keys)
    path = Path(names) if names is not None else next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if path is None:
        return {key: key.replace("_", " ") for key in keys}
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} of class names: wanted one, or {IMAGENET}")
    given = _read_json(path) if path.suffix.lower() == ".json" else _read_lines(path, keys)
    listed = {key: given[key] for key in keys if given.get(key)}
    if not listed:
        raise ValueError(f"{path} names none of the folders, such as {keys[0] if keys else 'CLASS'}")
    return listed


def _read_json(path: Path) -> dict[str, str]:
    try:
        value: Any = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} of {path} is not JSON: {error.msg}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is no object of folders and names")
    if all(isinstance(name, list) and len(name) == 2 for name in value.values()):
        value = {folder: name for folder, name in value.values()}
    wrong = next((folder for folder, name in value.items() if not isinstance(name, str)), None)
    if wrong is not None:
        raise ValueError(f"{path} has {value[wrong]!r:.40} as the name of {wrong}, wanted text")
    return {folder: name.strip() for folder, name in value.items()}


def _read_lines(path: Path, keys: list[str]) -> dict[str, str]:
    rows = [line.strip() for line in split_lines(read_text(path)) if line.strip()]
    parts = dict((row.split(maxsplit=1) + [""])[:2] for row in rows)
    if any(parts.get(key) for key in keys):
        return parts
    if len(rows) != len(keys):
        raise ValueError(
            f"{path} has {len(rows)} lines for {len(keys)} folders: wanted a line FOLDER NAME for each, or just a name "
            "for each in the order of the folders"
        )
    return dict(zip(keys, rows, strict=True))


def _imagenet(keys: list[str]) -> dict[str, str]:
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    if len(keys) != len(IMAGENET_CLASSNAMES):
        raise ValueError(
            f"there are {len(keys)} folders, and ImageNet has {len(IMAGENET_CLASSNAMES)}: wanted a file that names these"
        )
    # Its classes are numbered in the order of their folders.
    return dict(zip(keys, IMAGENET_CLASSNAMES, strict=True))
