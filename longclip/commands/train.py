"""`python -m longclip train`: fine-tune any CLIP into a Long-CLIP, or train one from random weights."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from ..training.recipe import CHOICES, Recipe, read_recipe
from .flags import add_flags, given_flags

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
    add_flags(parser, Recipe, _GROUPS, CHOICES)


def run(args: argparse.Namespace) -> int:
    from ..training.loop import Interrupted, train

    if args.recipe and args.config:
        raise ValueError(f"got the recipe {args.recipe!r} and --config {args.config!r}: one of them is meant")
    source = args.recipe or args.config
    changes = given_flags(args, Recipe)
    recipe = read_recipe(source, **changes)
    flags = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in changes.items()]
    command = " ".join(["python -m longclip train", *([shlex.quote(source)] if source else []), *flags])
    try:
        folder = train(recipe, args.out, args.workers, command)
    except Interrupted as stopped:
        print(f"\n{stopped}")
        return 130
    print(json.dumps({"folder": str(folder)}) if args.json else f"{recipe.name} is in {folder}")
    return 0
