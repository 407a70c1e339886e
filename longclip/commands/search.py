"""`python -m longclip search`: find in a gallery what is nearest to a text, a picture, a weighted sum of them, or a row.

A query is terms parted by + and - with space around them, each with a weight and a colon before it if it is not 1:
"2:a red boat + 0.5:photo.jpg - snow". A term like:ID is the picture of that id; text in double quotes is only text.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .flags import add_config, add_device, with_config

HELP = "search a gallery that index made"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("gallery", type=Path, metavar="GALLERY", help="the folder that python -m longclip index made")
    parser.add_argument("query", nargs="?", metavar="QUERY", help="a text, a picture's file, or a weighted sum of such terms")
    parser.add_argument("--like", metavar="ID", help="more like this picture of the gallery, which itself is left out")
    parser.add_argument("--captions", action="store_true", help="search the captions in place of the pictures")
    parser.add_argument("--model", metavar="NAME", help="a model that the gallery is indexed by (default: the first)")
    add_config(parser)
    parser.add_argument("--top", type=int, default=10, metavar="K", help="how many to show (default 10)")
    parser.add_argument("--milvus", metavar="ADDRESS", help="ask Milvus, where index --milvus sent the embeddings")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    from ..encoder import load
    from ..gallery import IMAGE, TEXT
    from ..index import StoredGallery
    from ..index.query import LIKE, Term, embed_query, parse_query

    if (args.query is None) == (args.like is None):
        raise ValueError("wanted either a query or --like ID")
    if args.top < 1:
        raise ValueError(f"--top is {args.top}; wanted 1 or more")
    terms = [Term(1.0, LIKE, args.like)] if args.query is None else parse_query(args.query)
    gallery = StoredGallery(args.gallery)
    models = list(gallery.models.values())
    if not models:
        raise ValueError(f"{args.gallery} is not embedded yet: go on with python -m longclip index")
    encoder = load(*with_config([args.model or models[0]], args.config), device=args.device)
    kind = TEXT if args.captions else IMAGE
    vectors = gallery.vectors(encoder, kind)
    query = embed_query(terms, encoder, gallery, vectors)[None]
    left_out = {gallery.find(args.like)} if args.like else set()
    wanted = args.top + len(left_out)
    if args.milvus:
        from ..index.milvus import Milvus

        rows, cosines = Milvus(args.milvus).search(gallery, encoder, query, wanted, kind)
    else:
        rows, cosines = vectors.search(query, wanted)
    found = []
    for number, cosine in zip(rows[0].tolist(), cosines[0].tolist(), strict=True):
        if number >= 0 and number not in left_out and len(found) < args.top:
            row = gallery.row(number)
            picture = row.picture if isinstance(row.picture, Path) else row.picture.path
            found.append({"id": row.id, "cosine": round(cosine, 6), "caption": row.caption, "picture": str(picture)})
    if args.json:
        described = [{"weight": term.weight, "kind": term.kind, "value": term.value} for term in terms]
        print(json.dumps({"model": encoder.spec.name, "query": described, "missing": vectors.missing, "found": found}))
        return 0
    for answer in found:
        print(f"{answer['cosine']:+.4f}  {answer['id']}  {_shorten(answer['caption'])}".rstrip())
    if vectors.missing:
        print(f"{vectors.missing:,} of {len(gallery):,} pictures are not embedded yet: go on with python -m longclip index")
    return 0


def _shorten(caption: str, length: int = 80) -> str:
    caption = " ".join(caption.split())
    return caption if len(caption) <= length else caption[: length - 1] + "…"
