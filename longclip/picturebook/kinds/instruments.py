"""Musical instruments."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def guitar(b: Brush) -> None:
    b.box(0.32, 0.0, 0.68, 0.14, "ink")
    b.box(0.4, 0.08, 0.6, 0.6, "wood", outline=True)
    b.ellipse(0.1, 0.4, 0.9, 0.74)
    b.ellipse(0.0, 0.58, 1.0, 1.0)
    b.ellipse(0.12, 0.5, 0.88, 0.8, outline=False)
    b.circle(0.5, 0.64, 0.16, "ink")
    b.box(0.3, 0.84, 0.7, 0.88, "wood", outline=True)


def trumpet(b: Brush) -> None:
    b.box(0.16, 0.44, 0.68, 0.92, "dark", radius=0.24)
    b.box(0.2, 0.56, 0.64, 0.82, "light", radius=0.13)
    for x in (0.28, 0.4, 0.52):
        b.box(x - 0.02, 0.08, x + 0.02, 0.4, "stone")
        b.box(x - 0.04, 0.02, x + 0.04, 0.12, "stone")
        b.box(x - 0.045, 0.28, x + 0.045, 1.0)
    bell = ((0.04, 0.38), (0.6, 0.36), (0.84, 0.26), (0.96, 0.0), (1.0, 0.0))
    b.polygon(*bell, (1.0, 0.94), (0.96, 0.94), (0.84, 0.66), (0.6, 0.54), (0.04, 0.52))
    b.box(0.0, 0.34, 0.05, 0.56, "stone")


def drum(b: Brush) -> None:
    b.line((0.08, 0.03), (0.54, 0.3), width=0.07, tone="wood")
    b.line((0.92, 0.03), (0.46, 0.3), width=0.07, tone="wood")
    b.ellipse(0.0, 0.72, 1.0, 1.0)
    b.box(0.0, 0.32, 1.0, 0.86)
    b.ellipse(0.02, 0.74, 0.98, 0.98, outline=False)
    b.line((0.04, 0.42), (0.27, 0.88), (0.5, 0.5), (0.73, 0.88), (0.96, 0.42), width=0.05, tone="gold")
    b.ellipse(0.0, 0.2, 1.0, 0.44, "cream", outline=True)
    for x in (0.4, 0.6):
        b.circle(x, 0.3, 0.06, "wood")


def piano(b: Brush) -> None:
    for x in (0.1, 0.46, 0.84):
        b.box(x, 0.7, x + 0.07, 1.0, "stone")
    b.line((0.68, 0.2), (0.8, 0.56), width=0.04, tone="wood")
    b.polygon((0.22, 0.54), (0.74, 0.0), (0.9, 0.04), (1.0, 0.2), (0.34, 0.56))
    b.box(0.14, 0.52, 1.0, 0.78)
    b.box(0.0, 0.62, 0.36, 0.78)
    b.box(0.0, 0.54, 0.34, 0.64, "snow", outline=True)
    for x in (0.07, 0.15, 0.23):
        b.box(x, 0.54, x + 0.04, 0.6, "ink")


def bell(b: Brush) -> None:
    b.arc(0.36, 0.0, 0.64, 0.26, 0, 360, width=0.08, tone="stone")
    b.circle(0.5, 0.88, 0.13, "stone")
    left = ((0.4, 0.14), (0.28, 0.22), (0.22, 0.36), (0.18, 0.64), (0.0, 0.82), (0.0, 0.9))
    b.polygon(*left, *((1 - x, y) for x, y in reversed(left)))
    b.line((0.16, 0.68), (0.84, 0.68), width=0.05, tone="dark")


def harp(b: Brush) -> None:
    for x, low in ((0.28, 0.84), (0.42, 0.72), (0.56, 0.6), (0.7, 0.48)):
        b.line((x, 0.2), (x, low), width=0.035, tone="stone")
    b.polygon((0.1, 0.9), (0.86, 0.22), (1.0, 0.3), (0.96, 0.42), (0.36, 1.0), (0.1, 1.0))
    top = ((0.04, 0.06), (0.2, 0.0), (0.36, 0.04), (0.56, 0.18), (0.74, 0.2), (0.88, 0.12), (1.0, 0.18))
    b.polygon(*top, (0.98, 0.32), (0.76, 0.36), (0.52, 0.34), (0.3, 0.2), (0.12, 0.18))
    b.box(0.0, 0.04, 0.16, 1.0)
    b.box(0.0, 0.88, 0.44, 1.0)


def accordion(b: Brush) -> None:
    top = [(0.22 + 0.07 * i, 0.14 if i % 2 else 0.0) for i in range(9)]
    b.polygon(*top, *((x, 1 - y) for x, y in reversed(top)))
    for x, y in top[1::2]:
        b.line((x, y), (x, 1 - y), width=0.05, tone="dark")
    b.box(0.0, 0.08, 0.24, 0.92, radius=0.06)
    b.box(0.76, 0.08, 1.0, 0.92, radius=0.06)
    b.box(0.03, 0.16, 0.14, 0.84, "snow", outline=True)
    for y in (0.26, 0.46, 0.66):
        b.box(0.03, y, 0.1, y + 0.08, "ink")
    for y in (0.3, 0.5, 0.7):
        b.circle(0.9, y, 0.05, "snow")


def saxophone(b: Brush) -> None:
    b.line((0.02, 0.16), (0.18, 0.1), width=0.1, tone="ink")
    tube = ((0.12, 0.06), (0.3, 0.0), (0.4, 0.06), (0.46, 0.7), (0.52, 0.78), (0.6, 0.76), (0.64, 0.66), (0.5, 0.4), (1.0, 0.3))
    b.polygon(*tube, (0.92, 0.8), (0.78, 0.96), (0.56, 1.0), (0.34, 0.94), (0.24, 0.76), (0.22, 0.14), (0.14, 0.16))
    b.ellipse(0.48, 0.28, 1.0, 0.42, "dark")
    for y in (0.26, 0.42, 0.58):
        b.circle(0.36, y, 0.07, "gold")


KINDS = (
    Kind("guitar", "guitars", guitar, aspect=0.55),
    Kind("trumpet", "trumpets", trumpet, aspect=1.8),
    Kind("drum", "drums", drum, aspect=1.1),
    Kind("piano", "pianos", piano, aspect=1.3),
    Kind("bell", "bells", bell, aspect=0.95),
    Kind("harp", "harps", harp, aspect=0.9),
    Kind("accordion", "accordions", accordion, aspect=1.4),
    Kind("saxophone", "saxophones", saxophone, aspect=0.7),
)
