"""`python -m longclip train`: fine-tune any CLIP into a Long-CLIP, or train one from random weights."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import fields
from pathlib import Path

from ..training.recipe import CHOICES, Recipe, read_recipe

HELP = "fine-tune a CLIP into a Long-CLIP, from a recipe or from flags"
_GROUPS = (
    ("what to start from", "name"),
    ("data", "data"),
    ("objective", "objective"),
    ("optimisation", "steps"),
    ("states and validation", "save_every"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", help="a recipe that ships (long-clip, picturebook-longclip, …) or a TOML file")
    parser.add_argument("--config", metavar="FILE", help="the same, as a flag")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model; a run found there is continued")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare pictures (0: in the loop)")
    starts, group = {first: title for title, first in _GROUPS}, parser
    for entry in fields(Recipe):
        if entry.name in starts:
            group = parser.add_argument_group(starts[entry.name], "Flags lie over the recipe's values.")
        if "help" in entry.metadata:
            kind = str if entry.default is None else type(entry.default)
            metavar = None if entry.name in CHOICES else {int: "N", float: "X", str: "TEXT"}[kind]
            default = "" if entry.default in (None, "") else f" (default: {entry.default})"
            group.add_argument(
                f"--{entry.name.replace('_', '-')}",
                type=kind,
                choices=CHOICES.get(entry.name),
                metavar=metavar,
                help=(entry.metadata["help"] + default).replace("%", "%%"),
            )


def run(args: argparse.Namespace) -> int:
    from ..training.loop import Interrupted, train

    if args.recipe and args.config:
        raise ValueError(f"got the recipe {args.recipe!r} and --config {args.config!r}: one of them is meant")
    source = args.recipe or args.config
    changes = {entry.name: getattr(args, entry.name) for entry in fields(Recipe) if "help" in entry.metadata}
    recipe = read_recipe(source, **changes)
    flags = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in changes.items() if value is not None]
    command = " ".join(["python -m longclip train", *([shlex.quote(source)] if source else []), *flags])
    try:
        folder = train(recipe, args.out, args.workers, command)
    except Interrupted as stopped:
        print(f"\n{stopped}")
        return 130
    print(json.dumps({"folder": str(folder)}) if args.json else f"{recipe.name} is in {folder}")
    return 0
