"""Plants."""

from __future__ import annotations

from math import cos, pi, sin

from ..canvas import Brush
from .kind import Kind


def tree(b: Brush) -> None:
    """A round cloud of a crown on a trunk."""
    b.polygon((0.4, 0.5), (0.6, 0.5), (0.66, 1.0), (0.34, 1.0), tone="wood")
    b.ellipse(0.0, 0.26, 0.56, 0.72)
    b.ellipse(0.44, 0.26, 1.0, 0.72)
    b.ellipse(0.16, 0.0, 0.84, 0.5)
    b.ellipse(0.2, 0.14, 0.8, 0.68, outline=False)


def palm(b: Brush) -> None:
    """Drooping fronds at the top of a bare, leaning trunk."""
    b.polygon((0.44, 0.3), (0.58, 0.3), (0.5, 0.66), (0.52, 1.0), (0.28, 1.0), (0.34, 0.64), tone="wood")
    for side in (-0.5, 0.5):
        for frond in (
            ((0.0, 0.34), (0.1, 0.08), (0.4, 0.0), (0.86, 0.04), (1.0, 0.24), (0.5, 0.2)),
            ((0.0, 0.2), (0.4, 0.2), (0.8, 0.34), (1.0, 0.7), (0.6, 0.46), (0.26, 0.4), (0.0, 0.42)),
            ((0.0, 0.26), (0.26, 0.32), (0.46, 0.5), (0.4, 0.76), (0.2, 0.5), (0.0, 0.42)),
        ):
            b.polygon(*((0.5 + side * x, y) for x, y in frond))


def fir(b: Brush) -> None:
    """Three triangles, one above the other."""
    b.box(0.4, 0.8, 0.6, 1.0, "wood")
    for top, bottom, half in ((0.44, 0.86, 0.5), (0.22, 0.6, 0.4), (0.0, 0.36, 0.3)):
        b.polygon((0.5, top), (0.5 + half, bottom), (0.5 - half, bottom))


def cactus(b: Brush) -> None:
    """A column with two raised arms."""
    b.box(0.36, 0.0, 0.64, 1.0, radius=0.14)
    b.box(0.08, 0.48, 0.4, 0.66)
    b.box(0.0, 0.22, 0.22, 0.66, radius=0.11)
    b.box(0.6, 0.36, 0.92, 0.54)
    b.box(0.78, 0.1, 1.0, 0.54, radius=0.11)
    b.box(0.4, 0.36, 0.6, 0.66, outline=False)


def flower(b: Brush) -> None:
    """Six separate petals around a golden eye."""
    b.box(0.46, 0.5, 0.54, 1.0, "leaf")
    b.polygon((0.5, 0.96), (0.6, 0.78), (0.9, 0.72), (0.78, 0.9), tone="leaf")
    for k in range(6):
        b.circle(0.5 + 0.32 * cos(k * pi / 3), 0.32 + 0.21 * sin(k * pi / 3), 0.18)
    b.circle(0.5, 0.32, 0.16, "gold")


def tulip(b: Brush) -> None:
    """A cup with three points, two long leaves."""
    b.box(0.43, 0.5, 0.57, 1.0, "leaf")
    b.polygon((0.5, 1.0), (0.34, 0.98), (0.0, 0.56), (0.34, 0.74), tone="leaf")
    b.polygon((0.5, 1.0), (0.66, 0.98), (1.0, 0.56), (0.66, 0.74), tone="leaf")
    points = ((0.06, 0.02), (0.3, 0.2), (0.5, 0.0), (0.7, 0.2), (0.94, 0.02))
    b.polygon(*points, (0.96, 0.36), (0.74, 0.58), (0.26, 0.58), (0.04, 0.36))


def bush(b: Brush) -> None:
    """Low and lumpy, no trunk."""
    b.pie(0.0, 0.3, 0.5, 1.7, 180, 360)
    b.pie(0.5, 0.3, 1.0, 1.7, 180, 360)
    b.ellipse(0.24, 0.0, 0.76, 0.9)
    b.box(0.1, 0.62, 0.9, 0.97, outline=False)


def pumpkin(b: Brush) -> None:
    """Ribs side by side, wider than tall, a stub of a stalk."""
    b.polygon((0.44, 0.26), (0.42, 0.0), (0.6, 0.0), (0.56, 0.26), tone="leaf")
    b.ellipse(0.0, 0.2, 0.5, 0.98)
    b.ellipse(0.5, 0.2, 1.0, 0.98)
    b.ellipse(0.16, 0.16, 0.62, 1.0)
    b.ellipse(0.38, 0.16, 0.84, 1.0)
    b.ellipse(0.34, 0.16, 0.66, 1.0)


KINDS = (
    Kind("tree", "trees", tree, aspect=0.8),
    Kind("palm", "palms", palm, aspect=0.85),
    Kind("fir", "firs", fir, aspect=0.7),
    Kind("cactus", "cacti", cactus, aspect=0.75),
    Kind("flower", "flowers", flower, aspect=0.65),
    Kind("tulip", "tulips", tulip, aspect=0.6),
    Kind("bush", "bushes", bush, aspect=1.6),
    Kind("pumpkin", "pumpkins", pumpkin, aspect=1.25),
)
