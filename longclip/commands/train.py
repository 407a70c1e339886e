"""`python -m longclip train`: make a model from a recipe."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

HELP = "train a model from a recipe"
FLAGS = ("steps", "batch", "learning_rate", "seed", "base", "short_weight", "summary_drop", "family_share")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="picturebook-clip, picturebook-longclip, or a TOML file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model; a run found there is continued")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--base", help="name or folder of the model to fine-tune")
    parser.add_argument("--short-weight", type=float)
    parser.add_argument("--summary-drop", type=float)
    parser.add_argument("--family-share", type=float)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures (0: none, draw in the loop)")
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS")


def run(args: argparse.Namespace) -> int:
    from ..training.loop import train
    from ..training.recipe import read_recipe

    changes = {name: getattr(args, name) for name in FLAGS}
    recipe = read_recipe(args.recipe, **changes)
    flags = " ".join(
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in changes.items() if value is not None
    )
    command = f"python -m longclip train {args.recipe} {flags}".strip()
    folder = train(recipe, args.out, args.workers, args.save_every, command)
    print(json.dumps({"folder": str(folder)}) if args.json else f"{recipe.name} is in {folder}")
    return 0
