"""Pictures in a folder a class, and the names of these classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..data.left_out import LeftOut
from ..data.readers.walking import is_junk, is_picture, walk_pictures
from ..data.splits import ALL, choose_split, is_split, split_name
from .class_names import read_class_names
from .data import PREFERRED, EvaluationSet, draw_subset

# Files whose captions another reader would read.
_CAPTIONS = (".txt", ".jsonl", ".tar", ".csv")

Folders = dict[str, list[Path]]


def read_class_folders(
    folder: Path, limit: int | None = None, seed: int = 0, split: str | None = None, names: str | Path | None = None
) -> EvaluationSet:
    """Pictures in a folder a class: of the split that is meant where there are folders ``train``, ``val`` or ``test``.

    Each folder is a class of its own, called as `class_names.read_class_names` says. Pictures in folders within it are its
    too. Raises ValueError where a class has no picture, or for an unknown split.
    """
    parts = {split_name(place.name): place for place in _folders(folder) if is_split(place.name) and _class_folders(place)}
    left_out = LeftOut()
    found = {name: _read(place, left_out) for name, place in parts.items()} or {ALL: _read(folder, left_out)}
    there = {name: sum(map(len, classes.values())) for name, classes in found.items()} if parts else {}
    chosen = choose_split(there, split, (*PREFERRED, "train"), str(folder))
    wanted = list(found) if chosen == ALL else chosen.split("+")
    learned = found.get("train") if chosen in PREFERRED else None
    keys = sorted({key for name in [*wanted, *(["train"] if learned else [])] for key in found[name]})
    called = read_class_names(folder, keys, names)
    used = {key: [path for name in wanted for path in found[name].get(key, ())] for key in keys}
    unnamed = [key for key in keys if key not in called]
    if lost := [key for key in unnamed if used[key]]:
        raise ValueError(
            f"the names of {folder.name}'s classes lack {', '.join(lost[:5])}: wanted one for each folder of pictures"
        )
    for key in unnamed:
        left_out.add("folders without a name or picture", key)
    empty = [key for name in wanted for key, paths in found[name].items() if not paths and key in called]
    if not any(used.values()):
        raise ValueError(f"{folder} has no folders of pictures: wanted CLASS/picture.jpg, or such folders in train and test")
    if empty:
        raise ValueError(
            f"{len(empty)} of the {len(called)} folders of {folder} hold no picture: {', '.join(empty[:5])}; wanted pictures "
            "in each, or a file of names (classes.txt) that lists the others alone"
        )
    notes = (*left_out, *_notes(called))
    make = partial(_make, folder.name, class_names=called, limit=limit, seed=seed)
    data = make({key: used[key] for key in called}, split=chosen if parts else "", notes=notes)
    training = (lambda: make({key: learned.get(key, []) for key in called}, split="train")) if learned else None
    return replace(data, training=training)


def holds_classes(folder: Path) -> bool:
    """Whether it has two folders of pictures, no caption beside them, and nothing else that could be read."""
    files = [path for path in folder.iterdir() if path.is_file() and not is_junk(path.name)]
    if any(is_picture(path) or path.suffix.lower() in _CAPTIONS[1:] for path in files):
        return False
    parts = [place for place in _folders(folder) if is_split(place.name)]
    places = [place for root in (folder, *parts) for place in _class_folders(root) if place not in parts]
    return len(places) > 1 and not any(
        name.endswith(_CAPTIONS[:2]) and not is_junk(name)
        for place in places
        for _, _, names in os.walk(place)
        for name in names
    )


def _make(
    name: str,
    classes: Mapping[str, list[Path]],
    class_names: Mapping[str, str],
    limit: int | None,
    seed: int,
    split: str,
    notes: tuple[str, ...] = (),
) -> EvaluationSet:
    found = [(path, key) for key, paths in classes.items() for path in paths]
    data = EvaluationSet(
        name, [path for path, _ in found], classes=[key for _, key in found], class_names=class_names, split=split, notes=notes
    )
    return draw_subset(data, limit, seed)


def _read(root: Path, left_out: LeftOut) -> Folders:
    """The pictures of every folder in `root`, also of those that hold none."""
    for path in sorted(root.iterdir()):
        if path.is_file() and is_picture(path):
            left_out.add("pictures outside the folders of classes", path.name)
    return {place.name: list(walk_pictures(place, left_out)) for place in _folders(root)}


def _notes(called: Mapping[str, str]) -> list[str]:
    twice = [name for name, count in Counter(called.values()).items() if count > 1]
    if not twice:
        return []
    first = ", ".join(f"{name} ({' and '.join(key for key in called if called[key] == name)})" for name in twice[:3])
    return [f"names of several classes: {len(twice)}, which zero-shot classification cannot tell apart: {first}"]


def _folders(root: Path) -> list[Path]:
    return sorted(place for place in root.iterdir() if place.is_dir() and not is_junk(place.name)) if root.is_dir() else []


def _class_folders(root: Path) -> list[Path]:
    """The folders within `root` that hold a picture, in order."""
    return [place for place in _folders(root) if next(walk_pictures(place, LeftOut()), None)]
