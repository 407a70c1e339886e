"""How far a model reads: the lines of a plot, from scores and ranks by what is kept and from changes by position."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from demos.pieces import numbers_table, table_cell

if TYPE_CHECKING:
    from longclip.attribution import LengthCurve

SCORE, RANK, POSITION = "score", "rank", "position"
# The first position that Long-CLIP stretches, and where CLIP ends, in tokens with start and end.
LANDMARKS = (20, 77)
NOUNS = {"tokens": "tokens kept", "words": "words kept", "sentences": "sentences kept"}


@dataclass(frozen=True, eq=False)
class Line:
    """One model's line: x and y, [places]; low and high where it is a mean with a band; side: where the model stands."""

    title: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    side: str = "left"


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a plot shows. marks: names of places on x. ranked: y are ranks, 1 on top; worst is the last of them."""

    lines: tuple[Line, ...] = ()
    x: str = ""
    y: str = ""
    marks: Mapping[float, str] = field(default_factory=dict)
    ranked: bool = False
    worst: int = 10

    def rows(self) -> tuple[list[str], list[list[float | None]]]:
        """Heads and rows of the table: a row a place, for each model its value and the ends of its band."""
        heads, columns = [self.x], []
        for line in self.lines:
            for name, values in ((line.title, line.y), (f"{line.title}, low", line.low), (f"{line.title}, high", line.high)):
                if values is not None:
                    heads.append(name)
                    columns.append(dict(zip(line.x.tolist(), values.tolist(), strict=True)))
        places = sorted({place for column in columns for place in column})
        return heads, [[place, *(_number(column.get(place)) for column in columns)] for place in places]

    def write_csv(self) -> str:
        """The table as CSV."""
        text = io.StringIO()
        heads, rows = self.rows()
        csv.writer(text).writerows([[table_cell(head) for head in heads], *rows])
        return text.getvalue()

    def write_html(self) -> str:
        """The table as HTML, folded away; nothing where there is none."""
        return numbers_table(*self.rows())


def draw_caption(curves: Sequence[tuple[str, LengthCurve, int]], what: str, by: str, pictures: int) -> Drawing:
    """(title, curve, tokens of the whole caption) of each model, against what is kept of one caption.

    A model that is full reads nothing more: its line goes on, as it was measured.
    """
    whole = _wholes(curves, by)
    places = np.arange(2 if by == "tokens" else 0, whole + 1)
    lines = tuple(
        Line(title, places, curve.ranks_at(by, places) if what == RANK else curve.at(by, places)) for title, curve, _ in curves
    )
    return _of_length(lines, what, by, _marks(max((curve for _, curve, _ in curves), key=_length), by, whole), pictures)


def draw_gallery(curves: Sequence[tuple[str, Sequence[LengthCurve]]], what: str, by: str, pictures: int) -> Drawing:
    """The same averaged over captions, with 95 % bands; of ranks the geometric mean."""
    from longclip.attribution.length import average, average_curves

    longest = max(int(getattr(curve, by)[-1]) for _, found in curves for curve in found)
    places = np.arange(2 if by == "tokens" else 0, longest + 1)
    lines = []
    for title, found in curves:
        if what == RANK:
            band = average(np.log(np.array([curve.ranks_at(by, places) for curve in found])), places)
            lines.append(Line(title, places, *map(np.exp, (band.mean, band.low, band.high))))
        else:
            band = average_curves(found, by, places)
            lines.append(Line(title, places, band.mean, band.low, band.high))
    marks = {place: f"token {place}" for place in LANDMARKS if place <= longest} if by == "tokens" else {}
    return _of_length(tuple(lines), what, by, marks, pictures)


def draw_positions(changes: Sequence[tuple[str, Sequence[np.ndarray]]]) -> Drawing:
    """How much the score changes without the token at each position, of one caption or averaged over several with bands."""
    from longclip.attribution import average_changes

    lines = []
    for title, found in changes:
        if len(found) == 1:
            places = np.flatnonzero(~np.isnan(found[0]))
            lines.append(Line(title, places, found[0][places]))
        else:
            band = average_changes(found)
            lines.append(Line(title, band.places, band.mean, band.low, band.high))
    longest = max((int(line.x.max(initial=0)) for line in lines), default=0)
    marks = {place: f"token {place}" for place in LANDMARKS if place <= longest}
    return Drawing(tuple(lines), "position of the token", "change of the cosine", marks)


def _of_length(lines: tuple[Line, ...], what: str, by: str, marks: Mapping[float, str], pictures: int) -> Drawing:
    named = f"rank among {pictures:,} pictures" if what == RANK else "cosine with the picture"
    return Drawing(lines, NOUNS[by], named, marks, what == RANK, max(10, pictures))


def _wholes(curves: Sequence[tuple[str, LengthCurve, int]], by: str) -> int:
    """How much there is of the caption, as far as any model has counted it."""
    return max(total if by == "tokens" else int(getattr(curve, by)[-1]) for _, curve, total in curves)


def _length(curve: LengthCurve) -> int:
    return int(curve.tokens[-1])


def _marks(curve: LengthCurve, by: str, whole: int) -> dict[float, str]:
    """Where the caption passes the landmarks, in tokens or in the words or sentences that they fall on."""
    if by == "tokens":
        return {float(place): f"token {place}" for place in LANDMARKS if place <= whole}
    passed = [(place, np.flatnonzero(curve.tokens > place)) for place in LANDMARKS]
    return {float(getattr(curve, by)[cuts[0]]): f"token {place}" for place, cuts in passed if len(cuts)}


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(value, 6)
