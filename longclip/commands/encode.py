"""`python -m longclip encode`: texts or pictures to unit vectors, into a .npy file or as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .flags import add_config, add_device, with_config

HELP = "encode texts or pictures"
DEFAULT = "picturebook-longclip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT, help=f"a name, a file, a folder, or hf-hub:owner/name (default {DEFAULT})")
    add_config(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", nargs="+", metavar="TEXT", help="texts to encode")
    what.add_argument("--text-file", type=Path, metavar="FILE", help="a file with a text on each line, in UTF-8 or UTF-16")
    what.add_argument("--image", nargs="+", metavar="FILE", help="pictures to encode")
    parser.add_argument("--out", type=Path, metavar="FILE.npy", help="where to write the vectors, float32 [n, dim]")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from longclip.encoder import load
    from longclip.textfiles import read_text, split_lines

    if args.out and args.out.suffix != ".npy":
        raise ValueError(f"--out is {args.out}: wanted a name that ends in .npy")
    texts = split_lines(read_text(args.text_file)) if args.text_file else args.text
    if args.text_file and not texts:
        raise ValueError(f"{args.text_file} holds no line of text")
    encoder = load(*with_config([args.model], args.config), device=args.device)
    vectors = encoder.encode_image(args.image) if args.image else encoder.encode_text(texts)
    if args.out:
        np.save(args.out, vectors)
    rows: list[dict[str, Any]] = [{"image": name} for name in args.image or ()]
    for text in texts or ():
        tokens = encoder.tokenize(text)
        rows.append({"text": text, "tokens": tokens.total, "unseen": tokens.unseen})
    if args.json:
        if not args.out:
            rows = [row | {"vector": vector.tolist()} for row, vector in zip(rows, vectors, strict=True)]
        described = {"model": encoder.spec.name, "identity": encoder.identity, "dim": encoder.dim, "rows": rows}
        print(json.dumps(described | ({"out": str(args.out)} if args.out else {})))
        return 0
    for row, vector in zip(rows, vectors, strict=True):
        print(f"[{' '.join(f'{x:+.3f}' for x in vector[:4])} …] {_label(row, encoder.context_length)}")
    print(f"{len(vectors)} vectors of {encoder.dim}" + (f" are in {args.out}" if args.out else ""))
    return 0


def _label(row: dict[str, Any], context_length: int) -> str:
    if "image" in row:
        return str(row["image"])
    text = row["text"] if len(row["text"]) <= 60 else row["text"][:59] + "…"
    unseen = f", of which the first {context_length} are read" if row["unseen"] else ""
    return f"{text} ({row['tokens']} tokens{unseen})"
