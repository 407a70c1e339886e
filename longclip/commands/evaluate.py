"""`python -m longclip evaluate`: measure models on a set of captioned pictures, or of pictures with classes."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..evaluation import CHEAP, MEASURES, check_names, measure_features, skipped
from .flags import add_config, add_device, with_config

if TYPE_CHECKING:
    from ..evaluation.data import EvaluationSet

HELP = "measure models: retrieval, zero-shot classification, linear probe, caption length, alignment, attribution"

Figures = dict[str, Any]
# Where JSON says what a set is, beside its models.
DATA = "data set"


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
    add_device(parser)
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
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="part of the data, as they call it (train, val, test, restval, several joined by +, or all); without it test, or "
        "val, or all. Of picturebook held-out (default) or shifted: what training never saw",
    )
    parser.add_argument(
        "--broken",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="largest share of pictures that may be missing or damaged, and are left out (default 0: the first ends it)",
    )
    parser.add_argument(
        "--class-names", metavar="FILE", help="names for a folder of classes: a line FOLDER NAME each, JSON, or imagenet"
    )


def run(args: argparse.Namespace) -> int:
    from ..encoder import load
    from ..evaluation.copies import describe_copies, find_copies
    from ..evaluation.data import read_sets
    from ..evaluation.features import read_features
    from ..evaluation.zeroshot import read_templates
    from ..images import ImageError

    check_names(args.measure)
    for option, value in (("--batch", args.batch), ("--explained", args.explained)):
        if value is not None and value < 1:
            raise ValueError(f"{option} is {value}; wanted 1 or more")
    if not 0 <= args.broken < 1:
        raise ValueError(f"--broken is {args.broken}; wanted a share of the pictures, from 0 to less than 1")
    names = list(dict.fromkeys(args.measure)) or list(CHEAP)
    options = {"templates": read_templates(args.templates), "explained": args.explained, "seed": args.seed}
    sets = read_sets(
        args.data,
        args.seed,
        args.scenes,
        args.families,
        args.split,
        pictures=args.pictures,
        limit=args.limit,
        training_scenes=args.training_scenes,
        class_names=args.class_names,
    )
    left_out = {data.name: skipped(data, names) for data in sets}
    if all(len(reasons) == len(names) for reasons in left_out.values()):
        reasons = {f"{name}: {reason}" for found in left_out.values() for name, reason in found.items()}
        raise ValueError(f"nothing can be measured on {args.data} ({'; '.join(sorted(reasons))})")
    encoders = {name: load(name, device=args.device) for name in with_config(args.model, args.config)}
    figures: dict[str, dict[str, Figures]] = {data.name: {} for data in sets}
    measured = {data.name: data for data in sets}
    for data in sets:
        for number, (name, encoder) in enumerate(encoders.items()):
            try:
                features = read_features(encoder, data, args.batch, args.broken)
            except ImageError as error:
                raise ImageError(f"{error} (--broken SHARE leaves out pictures that cannot be read)") from None
            figures[data.name][name] = measure_features(features, names, **options)
            if not number:
                copies = describe_copies(find_copies(features.images, features.data.pictures), features.data)
                notes = (*features.data.notes, *filter(None, [copies]))
                measured[data.name] = replace(features.data, notes=notes)
    if args.json:
        print(json.dumps({name: {DATA: data.to_json()} | figures[name] for name, data in measured.items()}))
    else:
        print(format_report(figures, left_out, measured))
    return 0


def format_report(
    figures: dict[str, dict[str, Figures]], left_out: dict[str, dict[str, str]], sets: dict[str, EvaluationSet]
) -> str:
    """A part a set: what it is, a table of its numbers, one of each of its curves, and a line on all that was left out."""
    parts = []
    for data, models in figures.items():
        rows = dict.fromkeys(row for found in models.values() for row in found)
        curves = [row for row in rows if any(isinstance(found.get(row), dict) for found in models.values())]
        numbers = [row for row in rows if row not in curves]
        lines = [sets[data].describe()]
        if numbers:
            lines += format_table("", list(models), {row: [found.get(row) for found in models.values()] for row in numbers})
        for curve in curves:
            found = {name: model.get(curve, {}) for name, model in models.items()}
            places = list(dict.fromkeys(place for values in found.values() for place in values))
            cells = {name: [values.get(place) for place in places] for name, values in found.items()}
            lines += ["", *format_table(curve, places, cells)]
        lines += [f"{name} is left out: {reason}" for name, reason in left_out.get(data, {}).items()]
        lines += sets[data].notes
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
