"""`python -m longclip evaluate`: measure models on a set of captioned pictures, or of pictures with classes."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..evaluation import CHEAP, MEASURES, check_names, measure, skipped
from .flags import add_config, with_config

HELP = "measure models: retrieval, zero-shot classification, linear probe, caption length, alignment, attribution"

Figures = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("measure", nargs="*", help=f"of {', '.join(MEASURES)}; none means {', '.join(CHEAP)}")
    parser.add_argument(
        "--data",
        default="picturebook",
        help="picturebook (default); captioned pictures as PATH or FORMAT:PATH; or pictures with classes, as cifar:FOLDER "
        "(the binary version) or classes:FOLDER (CLASS/picture.jpg)",
    )
    parser.add_argument("--pictures", metavar="FOLDER", help="where the pictures of a list of captions are")
    parser.add_argument(
        "--model", nargs="+", default=["picturebook-clip", "picturebook-longclip"], help="names, files or folders"
    )
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="measure on at most N pictures of a set, drawn with the seed")
    parser.add_argument("--batch", type=int, metavar="N", help="pictures or texts that go through a model at a time")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--templates", default="plain", metavar="NAME", help="of zeroshot: plain (default), simple, openai, or a file"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the scenes that picturebook draws, of --limit and of splits")
    parser.add_argument(
        "--explained",
        type=int,
        default=40,
        metavar="N",
        help="of attribution: captions of a set that are taken apart",
    )
    parser.add_argument("--scenes", type=int, default=1000, help="independent scenes that picturebook draws")
    parser.add_argument("--families", type=int, default=125, help="families of 8 of either kind that picturebook draws")
    parser.add_argument("--training-scenes", type=int, default=2000, help="scenes of picturebook that a probe learns from")
    parser.add_argument("--split", default="held-out", help="held-out (default) or shifted: what training never saw")


def run(args: argparse.Namespace) -> int:
    from ..encoder import load
    from ..evaluation.data import read_sets
    from ..evaluation.zeroshot import read_templates

    check_names(args.measure)
    for option, value in (("--batch", args.batch), ("--explained", args.explained)):
        if value is not None and value < 1:
            raise ValueError(f"{option} is {value}; wanted 1 or more")
    names = list(dict.fromkeys(args.measure)) or list(CHEAP)
    templates = read_templates(args.templates)
    sets = read_sets(
        args.data,
        args.seed,
        args.scenes,
        args.families,
        args.split,
        pictures=args.pictures,
        limit=args.limit,
        training_scenes=args.training_scenes,
    )
    encoders = {name: load(name, device=args.device) for name in with_config(args.model, args.config)}
    figures: dict[str, dict[str, Figures]] = {
        data.name: {
            name: measure(encoder, data, names, args.batch, templates=templates, explained=args.explained, seed=args.seed)
            for name, encoder in encoders.items()
        }
        for data in sets
    }
    left_out = {data.name: skipped(data, names) for data in sets}
    print(json.dumps(figures) if args.json else format_report(figures, left_out))
    return 0


def format_report(figures: dict[str, dict[str, Figures]], left_out: dict[str, dict[str, str]]) -> str:
    """A part a set: a table of its numbers, one of each of its curves, and a line a measure that was left out."""
    parts = []
    for data, models in figures.items():
        rows = dict.fromkeys(row for found in models.values() for row in found)
        curves = [row for row in rows if any(isinstance(found.get(row), dict) for found in models.values())]
        numbers = [row for row in rows if row not in curves]
        lines = [data]
        if numbers:
            lines += format_table("", list(models), {row: [found.get(row) for found in models.values()] for row in numbers})
        for curve in curves:
            found = {name: model.get(curve, {}) for name, model in models.items()}
            places = list(dict.fromkeys(place for values in found.values() for place in values))
            cells = {name: [values.get(place) for place in places] for name, values in found.items()}
            lines += ["", *format_table(curve, places, cells)]
        lines += [f"{name} is left out: {reason}" for name, reason in left_out.get(data, {}).items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def format_table(corner: str, columns: list[str], rows: dict[str, list[float | None]]) -> list[str]:
    """Lines of a table whose rows have names; "–" where there is no number."""
    cells = {name: ["–" if value is None else f"{value:g}" for value in values] for name, values in rows.items()}
    first = max(map(len, [corner, *rows]))
    widths = [max(map(len, [column, *(row[i] for row in cells.values())])) for i, column in enumerate(columns)]

    def line(name: str, values: list[str]) -> str:
        return f"{name:<{first}}" + "".join(f"  {value:>{width}}" for value, width in zip(values, widths, strict=True))

    return [line(corner, columns), *(line(name, values) for name, values in cells.items())]
