"""HTML beside the maps: figures, the point that is clicked and its neighbours, lists of points. All text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from demos.maps.atlas import NEAR, Companions, Nearest
from demos.maps.placing import Placed
from demos.maps.view import split_point
from demos.pictures import picture_tag
from demos.pieces import numbers_table, visible
from longclip.gallery import Gallery

# Cards of a list, and characters of a caption on hover.
SHOWN, HOVERED = 24, 320
# Rows of the table of points.
TABLED = 100

KEY = (
    '<p class="key"><span><b>● picture</b> <b>◆ caption</b></span><span>Hover to see it, click for its neighbours, '
    "draw a lasso to gather many.</span><span>Nearness in the plane is only nearly that in the full space: the neighbours "
    "below are the true ones.</span></p>"
)


def hover_card(gallery: Gallery, point: int) -> str:
    """What floats beside a point."""
    caption, row = split_point(gallery, point)
    text = gallery.captions[row] or gallery.ids[row]
    kind = "caption" if caption else "picture"
    return f"{picture_tag(gallery, row)}<p><b>{kind}</b> {visible(_shorten(text, HOVERED))}</p>"


def figures(titles: Sequence[str], companions: Sequence[Companions], overlap: np.ndarray | None, count: int) -> str:
    """How far the maps can be trusted, and how much the two models agree."""
    rows = [
        ("Trustworthiness of the map", "near points are near in the full space: 1 always, 0.5 by chance", "trust", "{:.2f}"),
        ("Variance the plane shows", "of PCA", "variance", "{:.0%}"),
        ("Modality gap", "between the centres of pictures and captions, 0 to 2", "gap", "{:.2f}"),
    ]
    lines = []
    for name, about, field, form in rows:
        values = [getattr(companion, field) for companion in companions]
        if all(value is None for value in values):
            continue
        cells = "".join(f"<td>{'–' if value is None else form.format(value)}</td>" for value in values)
        lines.append(f'<tr><th scope="row">{name}<small>{about}</small></th>{cells}</tr>')
    heads = "".join(
        f'<th scope="col" class="{side}">{visible(title)}</th>' for side, title in zip(("left", "right"), titles, strict=True)
    )
    table = f'<table class="figures"><thead><tr><td></td>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    return f'<div class="companions">{table if lines else ""}{_overall(overlap, count)}</div>'


def points_table(gallery: Gallery, titles: Sequence[str], maps: Sequence[np.ndarray]) -> str:
    """Where the first of the points lie on the maps: [n, 2] or [2 n, 2] for each title."""
    points = range(min(TABLED, len(maps[0])))
    heads = [f"{axis}, {title}" for title in titles for axis in "xy"]
    rows = ([_name(gallery, point), *(float(value) for drawn in maps for value in drawn[point])] for point in points)
    more = len(maps[0]) - len(points)
    about = f"The first {len(points)} of {len(maps[0]):,} points; all of them are in the CSV." if more else ""
    return numbers_table(["point", *heads], rows, about)


def _name(gallery: Gallery, point: int) -> str:
    caption, row = split_point(gallery, point)
    return f"{'caption' if caption else 'picture'} {gallery.ids[row]}"


def _overall(overlap: np.ndarray | None, count: int) -> str:
    if overlap is None:
        return '<p class="hint">One picture alone has no neighbours.</p>'
    near = min(NEAR, count - 1)
    captions = f", of a caption's <b>{overlap[count:].mean():.0%}</b>" if len(overlap) > count else ""
    return (
        f"<p>In the full spaces, the two models agree on <b>{overlap[:count].mean():.0%}</b> of a picture's {near} nearest"
        f"{captions}.</p>"
    )


def chosen(gallery: Gallery, point: int, overlap: float | None) -> str:
    """The point that was clicked."""
    caption, row = split_point(gallery, point)
    kind = "caption" if caption else "picture"
    shared = f'<p class="hint">{_agreement(overlap)}</p>' if overlap is not None else ""
    return (
        f'<div class="answer chosen"><h3>This {kind}</h3>{picture_tag(gallery, row)}<div class="hint">'
        f'<p class="words" dir="auto">{visible(gallery.captions[row] or gallery.ids[row])}</p>{shared}</div></div>'
    )


def neighbours(gallery: Gallery, title: str, nearest: Nearest, others: Sequence[int], other_title: str) -> str:
    """A model's nearest of something, those marked that the other model has among its own."""
    points = nearest.points
    if not len(points):
        return f'<div class="ranking"><h3>{visible(title)}</h3><p class="hint">There is nothing else of that kind.</p></div>'
    theirs = set(map(int, others))
    shared = sum(int(point) in theirs for point in points)
    cards = []
    for point, score, place in zip(points, nearest.scores, nearest.places, strict=True):
        both = int(point) in theirs
        said = f"Neighbour {place}, cosine {score:.3f}" + (f", also one of {other_title}" if both else "")
        facts = f'<span class="score">{score:.3f}</span>{"<span class=both>both</span>" if both else ""}'
        cards.append(_card(gallery, int(point), said, facts, place))
    captions = split_point(gallery, int(points[0]))[0]
    return (
        f'<div class="ranking"><p class="verdict unknown"><b>{visible(title)}</b>'
        f"<span>{shared} of {len(points)} shared with {visible(other_title)}</span></p>"
        f'<ol class="cards {"captions" if captions else "pictures"}">{"".join(cards)}</ol></div>'
    )


def gathered(gallery: Gallery, points: Sequence[int]) -> str:
    """What the lasso caught: how many, and the first of the pictures."""
    rows = list(dict.fromkeys(split_point(gallery, point)[1] for point in points))
    captions = sum(split_point(gallery, point)[0] for point in points)
    kinds = [_count(len(points) - captions, "picture"), _count(captions, "caption")]
    found = " and ".join(kind for kind in kinds if kind)
    cards = "".join(_card(gallery, row, gallery.ids[row]) for row in rows[:SHOWN])
    more = f'<p class="hint">and {len(rows) - SHOWN:,} more</p>' if len(rows) > SHOWN else ""
    return f'<div class="gathered"><h3>{found} gathered</h3><ol class="cards browse">{cards}</ol>{more}</div>'


def changed(gallery: Gallery, overlap: np.ndarray | None) -> str:
    """The points whose neighbours the two models agree on least, of each kind."""
    if overlap is None:
        return '<p class="hint">One picture alone has no neighbours.</p>'
    count, parts = len(gallery), []
    near = min(NEAR, count - 1)
    for start, name in ((0, "Pictures"), (count, "Captions")):
        own = overlap[start : start + count]
        if not len(own):
            continue
        order = np.argsort(own, kind="stable")[: SHOWN // 2]
        cards = "".join(
            _card(
                gallery,
                start + int(row),
                f"{round(own[row] * near)} of {near} neighbours shared",
                f'<span class="score">{round(own[row] * near)} of {near} shared</span>',
            )
            for row in order
        )
        parts.append(f'<h3>{name}</h3><ol class="cards browse">{cards}</ol>')
    return "".join(parts)


def _card(gallery: Gallery, point: int, said: str, facts: str = "", rank: str = "") -> str:
    caption, row = split_point(gallery, point)
    badge = f'<span class="rank">{rank}</span>' if rank else ""
    words = f'<span class="words" dir="auto">{visible(gallery.captions[row])}</span>' if caption and rank else ""
    shown = f'<span class="facts">{facts}</span>' if facts else ""
    return (
        f'<li><button type="button" class="card" data-point="{point}" title="{visible(said)}">'
        f'<span class="shot">{picture_tag(gallery, row)}{badge}</span>{words}{shown}</button></li>'
    )


def placed(caption: str, parts: Sequence[Placed]) -> str:
    """What was placed, in the order of its pins."""
    items = "".join(f"<li>{escape(part.label)}</li>" for part in parts)
    shown = f'<p class="words" dir="auto">{visible(_shorten(caption, HOVERED))}</p>' if caption.strip() else ""
    return f'<div class="placed"><h3>Placed by you</h3>{shown}<ol>{items}</ol></div>'


def _agreement(overlap: float) -> str:
    return f"The models agree on {overlap:.0%} of its nearest."


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}" if count else ""


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
