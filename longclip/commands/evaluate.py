"""`python -m longclip evaluate`: measure models on a set of captioned pictures."""

from __future__ import annotations

import argparse
import json

HELP = "measure models: retrieval and zero-shot classification"
MEASURES = ("retrieval", "zeroshot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("measure", nargs="*", help=f"of {', '.join(MEASURES)}; none means all that fit the data")
    parser.add_argument("--data", default="picturebook", help="picturebook (default), or a folder with a metadata.jsonl")
    parser.add_argument(
        "--model", nargs="+", default=["picturebook-clip", "picturebook-longclip"], help="names, files or folders"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes that picturebook draws")
    parser.add_argument("--scenes", type=int, default=1000, help="independent scenes that picturebook draws")
    parser.add_argument("--families", type=int, default=125, help="families of 8 of either kind that picturebook draws")
    parser.add_argument("--split", default="held-out", help="held-out (default) or shifted: what training never saw")


def run(args: argparse.Namespace) -> int:
    from ..encoder import load
    from ..evaluation.data import read_sets
    from ..evaluation.retrieval import measure_retrieval
    from ..evaluation.zeroshot import measure_zeroshot

    unknown = [name for name in args.measure if name not in MEASURES]
    if unknown:
        raise ValueError(f"measure {', '.join(unknown)} is unknown; there are {', '.join(MEASURES)}")
    wanted = args.measure or MEASURES
    encoders = [load(name) for name in args.model]
    sets = read_sets(args.data, args.seed, args.scenes, args.families, args.split)
    figures: dict[str, dict[str, dict[str, float]]] = {data.name: {} for data in sets}
    for data in sets:
        for name, encoder in zip(args.model, encoders, strict=True):
            found = measure_retrieval(encoder, data) if "retrieval" in wanted else {}
            if "zeroshot" in wanted and data.classes and not data.families:
                found |= measure_zeroshot(encoder, data)
            figures[data.name][name] = found
    print(json.dumps(figures) if args.json else format_tables(figures))
    return 0


def format_tables(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """A table a set: a row a figure, a column a model."""
    lines = []
    for data, models in figures.items():
        names = list(models)
        rows = list(dict.fromkeys(row for found in models.values() for row in found))
        width = max(map(len, rows), default=0)
        lines += [data, " " * width + "".join(f"  {name:>22}" for name in names)]
        lines += [
            f"{row:<{width}}" + "".join(f"  {models[name].get(row, float('nan')):>22g}" for name in names) for row in rows
        ]
        lines.append("")
    return "\n".join(lines).rstrip()
