"""What recipes share: frozen dataclasses whose fields say what they are, read from TOML, checked when they are made."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, TypeVar

from .textfiles import read_text

R = TypeVar("R")
_KINDS = {int: "a whole number", float: "a number", str: "a text"}
#: The largest seed: torch takes none that is larger, and TOML writes none.
LARGEST_SEED = 2**63 - 1


class OptionError(ValueError):
    """A value that a recipe cannot have: the field, and a sentence that begins with its name."""

    def __init__(self, option: str, said: str) -> None:
        super().__init__(f"{option} {said}")
        self.option, self.said = option, said

    def __reduce__(self) -> tuple:  # it comes out of processes that prepare pictures
        return OptionError, (self.option, self.said)

    def as_flag(self) -> str:
        """The same sentence, for somebody who gave the value on the command line."""
        return f"{flag(self.option)} {self.said}"


def flag(option: str) -> str:
    """What a field is called on the command line."""
    return f"--{option.replace('_', '-')}"


def option(default: Any, help: str) -> Any:
    """A field with a default; `help` is what its flag on the command line says."""
    return field(default=default, metadata={"help": help})


def read_fields(kind: type[R], recipes: Path, source: str | Path | None, changes: Mapping[str, Any]) -> R:
    """A recipe from a TOML file, or by its name in the folder `recipes`, with `changes` laid over it (None changes nothing).

    Raises ValueError for an unknown name or key, and for what is no TOML; OptionError for a value that is refused.
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
            values = tomllib.loads(read_text(path))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not TOML: {error}") from None
        unknown = sorted(set(values) - {entry.name for entry in fields(kind)})
        if unknown:
            raise ValueError(f"{path.name} has {', '.join(unknown)}, which a recipe does not know: probably a typo")
    return kind(**values | {name: value for name, value in changes.items() if value is not None})


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """In what the two differ, a sentence each, of the names that both have."""
    return [
        f"its {name} is {stored[name]!r}, now {wanted[name]!r}"
        for name in wanted
        if stored.get(name, wanted[name]) != wanted[name]
    ]


def check_kinds(recipe: Any) -> None:
    """Raises OptionError where a number or text is something else, or not finite; a whole number will do for any number."""
    for entry in fields(recipe):
        value, wanted = getattr(recipe, entry.name), type(entry.default)
        taken = (int, float) if wanted is float else wanted
        if wanted in _KINDS and (not isinstance(value, taken) or isinstance(value, bool)):
            raise OptionError(entry.name, f"is {value!r}, wanted {_KINDS[wanted]}")
        if wanted is float and not math.isfinite(value):
            raise OptionError(entry.name, f"is {value}, wanted a finite number")
        if entry.default is None and value is not None and not isinstance(value, str):
            raise OptionError(entry.name, f"is {value!r}, wanted a text")
        if isinstance(value, str) and (not value.strip() or not value.isprintable()):
            raise OptionError(entry.name, f"is {value!r}, wanted a text of one line that is not empty")


def check_range(
    recipe: Any, names: Iterable[str], least: float, most: float = math.inf, *, above: bool = False, below: bool = False
) -> None:
    """Raises OptionError where one of these fields is not from `least` to `most`, which `above` and `below` exclude."""
    for name in names:
        value = getattr(recipe, name)
        if value < least or value > most or above and value == least or below and value == most:
            low = f"above {least:,}" if above else f"at least {least:,}"
            high = "" if most == math.inf else f" and {'below' if below else 'at most'} {most:,}"
            raise OptionError(name, f"is {value:,}, wanted {low}{high}")


def check_shares(recipe: Any, names: Iterable[str]) -> None:
    """Raises OptionError where one of these fields is no share."""
    for name in names:
        if not 0 <= getattr(recipe, name) <= 1:
            raise OptionError(name, f"is {getattr(recipe, name)}, wanted a share between 0 and 1")


def check_share_or_count(recipe: Any, names: Iterable[str], of: str) -> None:
    """Raises OptionError where one of these fields is neither a share below 1 nor a whole number."""
    for name in names:
        value = getattr(recipe, name)
        if value < 0 or value >= 1 and value != int(value):
            raise OptionError(name, f"is {value:,}, wanted a share below 1 of {of}, or a whole number")
