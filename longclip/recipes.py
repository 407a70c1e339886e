"""What recipes share: frozen dataclasses whose fields say what they are, read from TOML, checked when they are made."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")
_KINDS = {int: "a whole number", float: "a number", str: "a text"}


def option(default: Any, help: str) -> Any:
    """A field with a default; `help` is what its flag on the command line says."""
    return field(default=default, metadata={"help": help})


def read_fields(kind: type[R], recipes: Path, source: str | Path | None, changes: Mapping[str, Any]) -> R:
    """A recipe from a TOML file, or by its name in the folder `recipes`, with `changes` laid over it (None changes nothing).

    Raises ValueError for an unknown name or key, and for what is no TOML.
    """
    values: dict[str, Any] = {}
    if source is not None:
        path = recipes / f"{source}.toml"
        if not path.is_file():
            path = Path(source)
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in recipes.glob("*.toml")))
            raise ValueError(f"there is no recipe {str(source)!r}: wanted a TOML file, or one of {known}")
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not TOML: {error}") from None
        unknown = sorted(set(values) - {entry.name for entry in fields(kind)})
        if unknown:
            raise ValueError(f"{path.name} has {', '.join(unknown)}, which a recipe does not know: probably a typo")
    return kind(**values | {name: value for name, value in changes.items() if value is not None})


def check_kinds(recipe: Any) -> None:
    """Raises ValueError where a number or text is something else; a whole number will do for any number."""
    for entry in fields(recipe):
        value, wanted = getattr(recipe, entry.name), type(entry.default)
        if wanted in _KINDS and (not isinstance(value, (int, wanted)) or isinstance(value, bool)):
            raise ValueError(f"{entry.name} is {value!r}, wanted {_KINDS[wanted]}")


def check_counts(recipe: Any, names: Iterable[str]) -> None:
    """Raises ValueError where one of these fields is under 1."""
    for name in names:
        if getattr(recipe, name) < 1:
            raise ValueError(f"{name} is {getattr(recipe, name)}, wanted at least 1")


def check_shares(recipe: Any, names: Iterable[str]) -> None:
    """Raises ValueError where one of these fields is no share."""
    for name in names:
        if not 0 <= getattr(recipe, name) <= 1:
            raise ValueError(f"{name} is {getattr(recipe, name)}, wanted a share between 0 and 1")
