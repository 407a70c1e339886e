"""Flags that several commands have: the device, the fields of a recipe, and the configuration of bare weights."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from ..recipes import OptionError, flag
from ..registry import resolve


def add_config(parser: argparse.ArgumentParser) -> None:
    """The flag that names the configuration of bare weights."""
    parser.add_argument(
        "--config",
        metavar="CONFIG",
        help="of a file of bare open_clip weights: its configuration, one of open_clip's names or the path of a JSON file; "
        "the same as FILE#CONFIG",
    )


def with_config(names: Sequence[str], config: str | None) -> list[str]:
    """Names of models, the files among them with the configuration that the flag gave."""
    if config is None:
        return list(names)
    specs = [resolve(name) for name in names]
    bare = [spec.source == "local" and spec.config is None and spec.path is not None and spec.path.is_file() for spec in specs]
    if not any(bare):
        raise ValueError(f"--config {config} is for a file of weights, and {', '.join(names)} is none: leave it away")
    return [f"{name}#{config}" if is_bare else name for name, is_bare in zip(names, bare, strict=True)]


def name_base(base: str | None, option: str, config: str) -> str:
    """The model that a recipe starts from, with the configuration that the flag gave."""
    if base is None:
        raise ValueError(f"--config {config} is for the weights of {option}, and there is none")
    return with_config([base], config)[0]


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`, as `longclip.load` takes it."""
    parser.add_argument("--device", metavar="NAME", help="cuda, cuda:N, mps or cpu (default: the fastest there is)")


def add_flags(
    parser: argparse.ArgumentParser,
    kind: type,
    groups: Sequence[tuple[str, str]],
    choices: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """A flag for each field of the dataclass `kind` that says what it is; `groups` are titles and the field each begins at."""
    starts = {first: title for title, first in groups}
    group: Any = parser
    for entry in fields(kind):
        if entry.name in starts:
            group = parser.add_argument_group(starts[entry.name], "Flags lie over the recipe's values.")
        if "help" in entry.metadata:
            form = str if entry.default is None else type(entry.default)
            shown = _shown(entry.default)
            allowed = (choices or {}).get(entry.name)
            metavar = None if allowed else {int: "N", float: "X", str: "TEXT"}[form]
            default = f" (default: {shown})" if shown else ""
            group.add_argument(
                flag(entry.name),
                type=number if form is float else form,
                choices=allowed,
                metavar=metavar,
                help=(entry.metadata["help"] + default).replace("%", "%%"),
            )


def given_flags(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The values of the flags that were given."""
    values = {entry.name: getattr(args, entry.name) for entry in fields(kind) if "help" in entry.metadata}
    return {name: value for name, value in values.items() if value is not None}


def number(text: str) -> float:
    """A number from the command line, whole where it is written so."""
    try:
        return int(text)
    except ValueError:
        return float(text)


@contextmanager
def naming_flags(given: Mapping[str, Any]) -> Iterator[None]:
    """Lets a refused value be called by its flag, where it was given by one of `given`, and by its key where it was not."""
    try:
        yield
    except OptionError as error:
        if error.option in given:
            raise ValueError(error.as_flag()) from error
        raise


def count(text: str) -> int:
    """A whole number of 0 or more from the command line."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def _shown(default: Any) -> str:
    return "" if default in (None, "") else f"{default:g}" if isinstance(default, float) else str(default)
