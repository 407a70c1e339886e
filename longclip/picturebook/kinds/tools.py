"""Tools and gear."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def ladder(b: Brush) -> None:
    for y in (0.1, 0.31, 0.52, 0.73):
        b.box(0.1, y, 0.9, y + 0.09)
    b.polygon((0.1, 0.0), (0.32, 0.0), (0.24, 1.0), (0.0, 1.0))
    b.polygon((0.68, 0.0), (0.9, 0.0), (1.0, 1.0), (0.76, 1.0))


def shovel(b: Brush) -> None:
    b.box(0.4, 0.1, 0.6, 0.62, "tan", outline=True)
    b.box(0.16, 0.0, 0.84, 0.1)
    b.polygon((0.0, 0.5), (1.0, 0.5), (1.0, 0.74), (0.84, 0.9), (0.5, 1.0), (0.16, 0.9), (0.0, 0.74))
    b.box(0.43, 0.46, 0.57, 0.72, "tan")


def hammer(b: Brush) -> None:
    b.box(0.38, 0.2, 0.6, 1.0, "tan", radius=0.06, outline=True)
    b.polygon((0.0, 0.34), (0.1, 0.12), (0.3, 0.02), (0.68, 0.06), (0.68, 0.4), (0.34, 0.4), (0.2, 0.28))
    b.box(0.66, 0.0, 1.0, 0.46, radius=0.05)
    b.box(0.34, 0.62, 0.64, 1.0, radius=0.1)


def wheelbarrow(b: Brush) -> None:
    b.line((0.0, 0.36), (0.3, 0.56), (0.84, 0.78), width=0.1, tone="wood")
    b.line((0.34, 0.6), (0.26, 1.0), width=0.1, tone="stone")
    b.polygon((0.16, 0.06), (1.0, 0.0), (0.74, 0.64), (0.34, 0.64))
    b.circle(0.84, 0.76, 0.24, "ink")
    b.circle(0.84, 0.76, 0.11, "steel")


def anchor(b: Brush) -> None:
    b.arc(0.34, 0.0, 0.66, 0.27, 0, 360, width=0.12, tone="dark")
    b.arc(0.36, 0.02, 0.64, 0.25, 0, 360, width=0.08, tone="main")
    left = ((0.5, 1.0), (0.24, 0.92), (0.1, 0.74), (0.0, 0.76), (0.08, 0.5), (0.34, 0.66), (0.24, 0.7), (0.4, 0.78))
    b.polygon(*left, (0.4, 0.24), (0.6, 0.24), *((1 - x, y) for x, y in reversed(left)))
    b.box(0.18, 0.32, 0.82, 0.46, radius=0.05)


def flag(b: Brush) -> None:
    b.box(0.04, 0.03, 0.14, 1.0, "wood")
    b.circle(0.09, 0.06, 0.08, "gold")
    top = ((0.14, 0.08), (0.36, 0.02), (0.58, 0.1), (0.8, 0.14), (1.0, 0.06))
    b.polygon(*top, *((x, y + 0.52) for x, y in reversed(top)))


def magnet(b: Brush) -> None:
    outer = ((0.0, 0.0), (0.0, 0.6), (0.06, 0.77), (0.17, 0.9), (0.32, 0.98), (0.5, 1.0))
    inner = ((0.5, 0.7), (0.39, 0.66), (0.32, 0.54), (0.32, 0.0))
    b.polygon(*outer, *((1 - x, y) for x, y in reversed(outer)), *((1 - x, y) for x, y in reversed(inner)), *inner)
    for x in (0.0, 0.68):
        b.box(x, 0.0, x + 0.32, 0.2, "steel", outline=True)


def scissors(b: Brush) -> None:
    b.polygon((0.16, 0.0), (0.32, 0.08), (0.64, 0.6), (0.48, 0.62), tone="steel", outline=True)
    b.polygon((0.84, 0.0), (0.68, 0.08), (0.36, 0.6), (0.52, 0.62), tone="steel", outline=True)
    for x in (0.0, 0.56):
        b.arc(x, 0.58, x + 0.44, 1.0, 0, 360, width=0.18, tone="dark")
        b.arc(x + 0.02, 0.595, x + 0.42, 0.985, 0, 360, width=0.13, tone="main")
    b.polygon((0.5, 0.4), (0.66, 0.54), (0.76, 0.66), (0.62, 0.74), (0.5, 0.62), (0.38, 0.74), (0.24, 0.66), (0.34, 0.54))
    b.circle(0.5, 0.54, 0.05, "stone")


KINDS = (
    Kind("ladder", "ladders", ladder, aspect=0.6),
    Kind("shovel", "shovels", shovel, aspect=0.45),
    Kind("hammer", "hammers", hammer, aspect=0.9),
    Kind("wheelbarrow", "wheelbarrows", wheelbarrow, aspect=1.5),
    Kind("anchor", "anchors", anchor, aspect=0.85),
    Kind("flag", "flags", flag, aspect=0.9),
    Kind("magnet", "magnets", magnet, aspect=0.85),
    Kind("pair of scissors", "pairs of scissors", scissors, aspect=0.8),
)
