"""Household things."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def bucket(b: Brush) -> None:
    b.arc(0.06, 0.0, 0.94, 0.8, 180, 360, width=0.07, tone="stone")
    b.polygon((0.0, 0.38), (1.0, 0.38), (0.82, 1.0), (0.18, 1.0))
    b.ellipse(0.0, 0.28, 1.0, 0.48, "dark")
    b.ellipse(0.06, 0.31, 0.94, 0.46, "glass")


def teapot(b: Brush) -> None:
    b.arc(0.66, 0.3, 1.0, 0.82, -110, 120, width=0.15, tone="dark")
    b.polygon((0.34, 0.86), (0.12, 0.66), (0.0, 0.3), (0.13, 0.24), (0.22, 0.48), (0.34, 0.54))
    b.ellipse(0.2, 0.22, 0.82, 1.0)
    b.pie(0.33, 0.1, 0.69, 0.44, 180, 360, "light", outline=True)
    b.circle(0.51, 0.08, 0.08, "dark")


def vase(b: Brush) -> None:
    b.polygon((0.14, 0.03), (0.86, 0.03), (0.68, 0.16), (0.68, 0.4), (0.32, 0.4), (0.32, 0.16))
    b.polygon((0.36, 0.84), (0.64, 0.84), (0.78, 1.0), (0.22, 1.0))
    b.ellipse(0.0, 0.28, 1.0, 0.93)
    b.ellipse(0.12, 0.0, 0.88, 0.08, "dark")
    b.box(0.3, 0.24, 0.7, 0.3, "dark")


def clock(b: Brush) -> None:
    b.box(0.46, 0.0, 0.54, 0.2, "stone")
    for x in (0.24, 0.76):
        b.circle(x, 0.17, 0.18)
    for x in (0.2, 0.8):
        b.line((0.5, 0.6), (x, 0.99), width=0.12, tone="stone")
    b.circle(0.5, 0.56, 0.42)
    b.circle(0.5, 0.56, 0.27, "snow")
    b.line((0.5, 0.36), (0.5, 0.57), (0.65, 0.64), width=0.07)


def mug(b: Brush) -> None:
    b.arc(0.46, 0.24, 1.0, 0.84, -90, 90, width=0.18, tone="dark")
    b.arc(0.48, 0.26, 0.98, 0.82, -90, 90, width=0.12, tone="main")
    b.box(0.0, 0.08, 0.74, 1.0, radius=0.1)
    b.ellipse(0.0, 0.0, 0.74, 0.2, "light", outline=True)
    b.ellipse(0.08, 0.05, 0.66, 0.17, "wood")


def bottle(b: Brush) -> None:
    b.box(0.32, 0.0, 0.68, 0.12, "tan")
    shoulder = ((0.34, 0.09), (0.34, 0.3), (0.04, 0.46), (0.0, 0.54), (0.0, 0.98), (0.06, 1.0))
    b.polygon(*shoulder, *((1 - x, y) for x, y in reversed(shoulder)))
    b.box(0.0, 0.66, 1.0, 0.84, "cream", outline=True)
    b.box(0.28, 0.09, 0.72, 0.14, "dark")


def book(b: Brush) -> None:
    for side in (0.0, 1.0):
        hinge = abs(side - 0.05)
        b.polygon((hinge, 0.02), (0.5, 0.2), (0.5, 0.95), (hinge, 0.8), tone="snow", outline=True)
        b.polygon((side, 0.12), (0.5, 0.3), (0.5, 1.0), (side, 0.82))
        b.line((abs(side - 0.12), 0.36), (abs(side - 0.38), 0.46), width=0.07, tone="gold")
    b.line((0.5, 0.26), (0.5, 1.0), width=0.08, tone="dark")


def lantern(b: Brush) -> None:
    b.arc(0.24, 0.0, 0.76, 0.32, 180, 360, width=0.09, tone="stone")
    b.box(0.16, 0.3, 0.84, 0.86, "gold")
    b.ellipse(0.4, 0.46, 0.6, 0.76, "snow")
    for x in (0.06, 0.74):
        b.box(x, 0.3, x + 0.2, 0.84)
    b.polygon((0.34, 0.1), (0.66, 0.1), (1.0, 0.38), (0.0, 0.38))
    b.polygon((0.08, 0.8), (0.92, 0.8), (1.0, 1.0), (0.0, 1.0))


KINDS = (
    Kind("bucket", "buckets", bucket, aspect=0.85),
    Kind("teapot", "teapots", teapot, aspect=1.4),
    Kind("vase", "vases", vase, aspect=0.65),
    Kind("clock", "clocks", clock, aspect=0.9),
    Kind("mug", "mugs", mug, aspect=1.05),
    Kind("bottle", "bottles", bottle, aspect=0.4),
    Kind("book", "books", book, aspect=1.3),
    Kind("lantern", "lanterns", lantern, aspect=0.62),
)
