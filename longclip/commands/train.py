"""`python -m longclip train`: fine-tune any CLIP into a Long-CLIP, or train one from random weights."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from ..recipes import flag
from ..training.recipe import CHOICES, Recipe, read_recipe
from .flags import add_config, add_flags, count, given_flags, name_base, naming_flags

HELP = "fine-tune a CLIP into a Long-CLIP, from a recipe or from flags"
_GROUPS = (
    ("what to start from", "name"),
    ("data", "data"),
    ("objective", "objective"),
    ("optimisation", "steps"),
    ("states and validation", "save_every"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        nargs="?",
        help="a recipe that ships (long-clip, debias-clip, …) or a TOML file; none: long-clip's rate, in smaller batches",
    )
    add_config(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model; a run found there is continued")
    parser.add_argument(
        "--workers", type=count, default=1, metavar="N", help="processes that prepare pictures (0: in the loop)"
    )
    add_flags(parser, Recipe, _GROUPS, CHOICES)


def run(args: argparse.Namespace) -> int:
    from ..training.loop import Interrupted, Preview, train

    source, changes = args.recipe, given_flags(args, Recipe)
    if args.config:
        if args.config.endswith(".toml"):
            raise ValueError(
                f"--config is the base's configuration, and {args.config} a recipe: give a recipe without --config"
            )
        with naming_flags(changes):
            changes["base"] = name_base(read_recipe(source, **changes).base, "--base", args.config)
    flags = [f"{flag(name)} {shlex.quote(str(value))}" for name, value in changes.items()]
    command = " ".join(["python -m longclip train", *([shlex.quote(source)] if source else []), *flags])

    def announce(ahead: Preview) -> None:
        print("\n".join(ahead.lines()), file=sys.stderr if args.json else sys.stdout, flush=True)

    try:
        with naming_flags(changes):
            recipe = read_recipe(source, **changes)
            folder = train(recipe, args.out, args.workers, command, announce=announce)
    except Interrupted as stopped:
        print(f"\n{stopped}", file=sys.stderr if args.json else sys.stdout)
        return 130
    print(json.dumps({"folder": str(folder)}) if args.json else f"{recipe.name} is in {folder}")
    return 0
