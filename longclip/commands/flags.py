"""The fields of a recipe as flags of a command."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any


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
            allowed = (choices or {}).get(entry.name)
            metavar = None if allowed else {int: "N", float: "X", str: "TEXT"}[form]
            default = "" if entry.default in (None, "") else f" (default: {entry.default})"
            group.add_argument(
                f"--{entry.name.replace('_', '-')}",
                type=form,
                choices=allowed,
                metavar=metavar,
                help=(entry.metadata["help"] + default).replace("%", "%%"),
            )


def given_flags(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The values of the flags that were given."""
    values = {entry.name: getattr(args, entry.name) for entry in fields(kind) if "help" in entry.metadata}
    return {name: value for name, value in values.items() if value is not None}
