"""The parts that data sets come in: their names, and which of them is meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..textfiles import DataError

ALL = "all"
NAMES = ("train", "val", "test", "restval", ALL)
_OTHERS = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}


def split_name(name: str) -> str:
    """The name of a split as it is used here: "validation" is "val"."""
    name = name.strip().lower()
    return _OTHERS.get(name, name)


def is_split(name: str) -> bool:
    """Whether a folder of this name is a split."""
    return split_name(name) in NAMES[:-1]


def choose_split(there: Mapping[str, int], wanted: str | None, preferred: Sequence[str], data: str) -> str:
    """The split that is meant: `wanted` ("all", a name, or several joined by "+"), or the first of `preferred` that is there.

    there: the pictures of each split of the data set called `data`. Without any, or with none of the preferred ones, "all".
    Raises DataError for a split that is not there, naming those that are.
    """
    if wanted is None:
        return next((name for name in preferred if there.get(name)), ALL)
    names = [split_name(part) for part in wanted.split("+")]
    missing = [name for name in names if name != ALL and not there.get(name)]
    if missing and not there:
        raise DataError(f"{data} has no splits, and so no {wanted!r}: leave the split out, or say all")
    if missing:
        has = ", ".join(f"{name} ({count:,} pictures)" for name, count in there.items())
        raise DataError(f"{data} has no split {missing[0]!r}: wanted one of its own ({has}), several joined by +, or all")
    return ALL if ALL in names else "+".join(names)
