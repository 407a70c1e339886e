"""Furniture."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def chair(b: Brush) -> None:
    """From the side: a high back, one seat, two legs."""
    b.box(0.04, 0.0, 0.28, 0.62)
    b.box(0.06, 0.62, 0.26, 1.0)
    b.box(0.74, 0.62, 0.94, 1.0)
    b.box(0.02, 0.5, 0.98, 0.7)


def table(b: Brush) -> None:
    b.box(0.1, 0.2, 0.24, 1.0)
    b.box(0.76, 0.2, 0.9, 1.0)
    b.box(0.0, 0.0, 1.0, 0.34)


def sofa(b: Brush) -> None:
    """Puffy: a back, two cushions and two round arms."""
    b.box(0.1, 0.88, 0.2, 1.0, "wood")
    b.box(0.8, 0.88, 0.9, 1.0, "wood")
    b.box(0.08, 0.0, 0.92, 0.8, radius=0.2)
    b.box(0.14, 0.46, 0.5, 0.7, "light", radius=0.1)
    b.box(0.5, 0.46, 0.86, 0.7, "light", radius=0.1)
    b.box(0.06, 0.66, 0.94, 0.92)
    b.box(0.0, 0.3, 0.2, 0.92, radius=0.12)
    b.box(0.8, 0.3, 1.0, 0.92, radius=0.12)


def bed(b: Brush) -> None:
    """From the side: a headboard, a white pillow, a blanket to the foot."""
    b.box(0.08, 0.56, 0.4, 0.86, "snow", outline=True)
    b.box(0.1, 0.28, 0.32, 0.58, "snow", radius=0.14, outline=True)
    b.box(0.3, 0.38, 0.94, 0.88, radius=0.1)
    b.box(0.0, 0.0, 0.1, 1.0)
    b.box(0.9, 0.28, 1.0, 1.0)


def lamp(b: Brush) -> None:
    """A floor lamp: a wide shade on a pole."""
    b.box(0.43, 0.4, 0.57, 0.96, "stone")
    b.box(0.16, 0.92, 0.84, 1.0, "stone", radius=0.06)
    b.pie(0.34, 0.34, 0.66, 0.56, 0, 180, "gold")
    b.polygon((0.26, 0.0), (0.74, 0.0), (1.0, 0.46), (0.0, 0.46))


def bench(b: Brush) -> None:
    """A park bench: slats with gaps between them, on two iron feet."""
    for x in (0.1, 0.8):
        b.box(x, 0.0, x + 0.1, 1.0, "stone")
    b.box(0.02, 0.03, 0.98, 0.2)
    b.box(0.02, 0.27, 0.98, 0.44)
    b.box(0.0, 0.54, 1.0, 0.74)


def bookcase(b: Brush) -> None:
    """Open shelves full of books."""
    b.box(0.0, 0.0, 1.0, 1.0)
    for y in (0.12, 0.41, 0.7):
        b.box(0.16, y, 0.84, y + 0.19, "ink")
    for x, tone in ((0.2, "rose"), (0.38, "gold"), (0.68, "glass")):
        b.box(x, 0.14, x + 0.12, 0.31, tone)
        b.box(1.0 - x, 0.43, 0.88 - x, 0.6, tone)
        b.box(x, 0.72, x + 0.12, 0.89, tone)


def cabinet(b: Brush) -> None:
    """Two closed doors with knobs, on feet."""
    b.box(0.06, 0.86, 0.2, 1.0, "wood")
    b.box(0.8, 0.86, 0.94, 1.0, "wood")
    b.box(0.0, 0.0, 1.0, 0.9)
    b.box(0.47, 0.06, 0.53, 0.86, "dark")
    for x in (0.36, 0.64):
        b.circle(x, 0.46, 0.07, "gold", outline=True)


KINDS = (
    Kind("chair", "chairs", chair, aspect=0.6),
    Kind("table", "tables", table, aspect=1.5),
    Kind("sofa", "sofas", sofa, aspect=1.7),
    Kind("bed", "beds", bed, aspect=1.8),
    Kind("lamp", "lamps", lamp, aspect=0.5),
    Kind("bench", "benches", bench, aspect=1.6),
    Kind("bookcase", "bookcases", bookcase, aspect=0.75),
    Kind("cabinet", "cabinets", cabinet, aspect=0.95),
)
