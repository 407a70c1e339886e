"""`python -m longclip train-diffusion`: a small text-to-image pipeline of the picture book, in Stable Diffusion's parts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..diffusion.recipe import DiffusionRecipe, read_recipe
from ..generation.specs import EMBEDDED
from .flags import add_config, add_device, add_flags, count, given_flags, name_base, naming_flags

HELP = "train a text-to-image pipeline of the picture book, in Stable Diffusion's layout"
_GROUPS = (
    ("what is drawn", "name"),
    ("autoencoder", "channels"),
    ("U-Net", "scenes"),
    ("detector", "detector_width"),
    ("all of them", "warmup"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", default=EMBEDDED, help=f"a recipe that ships ({EMBEDDED}) or a TOML file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pipeline")
    parser.add_argument("--work", type=Path, help="folder of the runs, which resume (default: OUT with -work at its end)")
    parser.add_argument(
        "--stage", nargs="+", help="train these alone: autoencoder, latents, detector, unet; writes no pipeline"
    )
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="processes that draw scenes (0: in the loop)")
    add_device(parser)
    add_config(parser)
    add_flags(parser, DiffusionRecipe, _GROUPS)


def run(args: argparse.Namespace) -> int:
    from ..diffusion.preview import preview
    from ..diffusion.stages import STAGES, train
    from ..training.stopping import Interrupted

    changes = given_flags(args, DiffusionRecipe)
    if args.config:
        with naming_flags(changes):
            changes["encoder"] = name_base(read_recipe(args.recipe, **changes).encoder, "--encoder", args.config)
    work = args.work or args.out.with_name(args.out.name + "-work")
    try:
        with naming_flags(changes):
            recipe = read_recipe(args.recipe, **changes)
            print("\n".join(preview(recipe, args.stage or STAGES)), file=sys.stderr if args.json else sys.stdout, flush=True)
            folder = train(recipe, work, args.out, args.workers, args.stage or STAGES, args.device)
    except Interrupted as stopped:
        print(f"\n{stopped}", file=sys.stderr if args.json else sys.stdout)
        return 130
    done = folder if args.stage is None else work
    print(json.dumps({"folder": str(done)}) if args.json else f"{recipe.name} is in {done}")
    return 0
