"""`python -m longclip index`: make a gallery that can be searched, or bring it up to date; only what is new is encoded.

A run that was killed goes on where it was. Several at once, or one under `torchrun`, share the work.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from .encode import DEFAULT
from .flags import add_config, add_device, with_config

HELP = "make a gallery of pictures and captions that can be searched"
# Sentences about pictures that were left out.
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a folder of pictures, or captioned pictures as PATH or FORMAT:PATH, shards too")
    parser.add_argument("--out", type=Path, required=True, metavar="GALLERY", help="folder of the gallery")
    parser.add_argument(
        "--model", nargs="+", default=[DEFAULT], metavar="NAME", help=f"names, files or folders of models (default {DEFAULT})"
    )
    add_config(parser)
    parser.add_argument("--pictures", metavar="FOLDER", help="where the pictures of a list of captions are")
    parser.add_argument(
        "--split", metavar="NAME", help="part of the data, as they call it: train, val, test, …; all without it"
    )
    add_device(parser)
    parser.add_argument("--milvus", metavar="ADDRESS", help="also send the embeddings to Milvus: FILE.db, or http://HOST:19530")
    parser.add_argument("--index-type", default="FLAT", metavar="TYPE", help="what Milvus searches by: FLAT (default), HNSW, …")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..encoder import load
    from ..index import StoredGallery, make_gallery

    engine = None
    if args.milvus:
        from ..index.milvus import Milvus

        # Before anything is encoded: an address that does not answer is better known now.
        engine = Milvus(args.milvus)
    rank = int(os.environ.get("RANK", 0))
    encoders = [load(name, device=args.device) for name in with_config(args.model, args.config)]
    with tqdm(unit="picture", disable=bool(rank), leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        made = make_gallery(args.source, args.out, encoders, args.pictures, show, split=args.split)
    if rank:
        return 0
    figures = {"gallery": str(args.out), "pictures": made.pictures, "encoded": made.encoded, "reused": made.reused}
    figures |= {"broken": made.broken, "skipped": made.skipped}
    if engine:
        gallery = StoredGallery(args.out)
        figures["sent"] = sum(
            engine.send(gallery, encoder, kind, args.index_type) for encoder in encoders for kind in gallery.kinds(encoder)
        )
        engine.close()
    print(json.dumps(figures) if args.json else _describe(figures))
    return 0


def _describe(figures: dict[str, Any]) -> str:
    encoded = figures["encoded"]
    known = ", the others were known" if encoded.get("image", 0) < figures["pictures"] else ""
    lines = [f"{figures['gallery']} has {figures['pictures']:,} pictures"]
    lines.append(f"{sum(encoded.values()):,} pictures and captions were encoded{known}")
    lines += figures["skipped"][:_SHOWN]
    if figures["broken"] > _SHOWN:
        lines.append(f"and {figures['broken'] - _SHOWN:,} more that were left out")
    if "sent" in figures:
        lines.append(f"{figures['sent']:,} vectors were sent to Milvus")
    return "\n".join(lines)
