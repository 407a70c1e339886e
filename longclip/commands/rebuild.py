"""`python -m longclip rebuild`: make what ships in `assets/` anew, in order of dependence."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "make the embedded models, the gallery, the figures and the pipeline anew"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "stage",
        nargs="*",
        help="picturebook-clip, picturebook-longclip, gallery, evaluation, picturebook-diffusion; none means all",
    )
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder of the training runs, which resume (runs)")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures")


def run(args: argparse.Namespace) -> int:
    from ..rebuild import STAGES, rebuild

    made = rebuild(tuple(args.stage) or STAGES, args.work, args.workers)
    print(json.dumps(made) if args.json else "\n".join(f"{part}: {entry['sha256'][:16]}" for part, entry in made.items()))
    return 0
