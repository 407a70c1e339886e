"""`python -m longclip picturebook`: draw scenes with their captions into a folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "draw picture-book scenes and their captions into a folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures and metadata.jsonl")
    parser.add_argument("--count", type=int, default=100, help="scenes in all (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="held-out", help="train, held-out (default) or shifted")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (default 256)")
    parser.add_argument("--format", default="png", help="png (default) or webp")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also a contact sheet of the first 24 (.png or .webp)")
    parser.add_argument(
        "--family-size", type=int, default=0, metavar="N", help="draw families of N scenes with the same summary"
    )
    parser.add_argument("--late", action="store_true", help="families that differ only beyond the caption's 77th token")


def run(args: argparse.Namespace) -> int:
    from ..picturebook.files import contact_sheet, write_pages
    from ..picturebook.pages import draw_pages

    if args.count < 1 or not 16 <= args.size <= 2048:
        raise ValueError(f"got --count {args.count} and --size {args.size}; wanted at least 1 scene of 16 to 2048 pixels")
    if args.late and args.family_size < 2:
        raise ValueError("--late draws families: give it --family-size 2 or more, such as 8")
    pages = list(draw_pages(args.split, args.seed, args.count, args.family_size, args.late))
    rows = write_pages(pages, args.out, args.size, args.format)
    if args.sheet:
        contact_sheet(pages[:24]).save(args.sheet)
    done = {"folder": str(args.out), "scenes": len(rows), "families": len({row["family"] for row in rows if row["family"]})}
    print(json.dumps(done) if args.json else f"{done['scenes']} scenes are in {done['folder']}")
    return 0
