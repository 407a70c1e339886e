"""Food."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def apple(b: Brush) -> None:
    """Broad shoulders, a stalk in the dip, a leaf."""
    b.ellipse(0.0, 0.2, 0.62, 1.0)
    b.ellipse(0.38, 0.2, 1.0, 1.0)
    b.ellipse(0.3, 0.3, 0.7, 0.9, outline=False)
    b.line((0.5, 0.32), (0.46, 0.04), width=0.09, tone="wood")
    b.polygon((0.5, 0.18), (0.66, 0.02), (0.94, 0.04), (0.74, 0.2), tone="leaf")
    b.ellipse(0.12, 0.36, 0.28, 0.56, "light")


def pear(b: Brush) -> None:
    """Narrow above, wide below."""
    b.line((0.5, 0.2), (0.58, 0.0), width=0.1, tone="wood")
    b.ellipse(0.0, 0.44, 1.0, 1.0)
    b.ellipse(0.24, 0.12, 0.76, 0.62)
    b.polygon((0.25, 0.36), (0.75, 0.36), (0.95, 0.62), (0.5, 0.8), (0.05, 0.62), outline=False)
    b.ellipse(0.16, 0.6, 0.34, 0.8, "light")


def banana(b: Brush) -> None:
    """A crescent."""
    b.polygon(
        (0.0, 0.2), (0.1, 0.12), (0.24, 0.42), (0.5, 0.54), (0.76, 0.42), (0.88, 0.0), (1.0, 0.02),
        (1.0, 0.4), (0.84, 0.78), (0.58, 1.0), (0.32, 0.96), (0.12, 0.7),
    )  # fmt: skip
    b.polygon((0.87, 0.0), (1.0, 0.0), (1.0, 0.16), (0.85, 0.13), tone="wood")
    b.polygon((0.0, 0.2), (0.1, 0.1), (0.14, 0.24), (0.03, 0.34), tone="wood")


def cake(b: Brush) -> None:
    """Two tiers, cream along the rims and a candle."""
    b.box(0.46, 0.08, 0.54, 0.28, "snow")
    b.ellipse(0.44, 0.0, 0.56, 0.14, "gold")
    b.box(0.2, 0.26, 0.8, 0.6)
    b.box(0.16, 0.24, 0.84, 0.34, "cream", radius=0.05)
    b.box(0.04, 0.58, 0.96, 0.96)
    b.box(0.0, 0.54, 1.0, 0.64, "cream", radius=0.05)
    b.box(0.0, 0.94, 1.0, 1.0, "grey")


def mushroom(b: Brush) -> None:
    """A wide dome on a pale stem."""
    b.polygon((0.38, 0.6), (0.62, 0.6), (0.7, 1.0), (0.3, 1.0), tone="cream")
    b.pie(0.0, 0.0, 1.0, 1.24, 180, 360)
    b.ellipse(0.12, 0.54, 0.88, 0.7, "tan")
    b.ellipse(0.16, 0.2, 0.36, 0.4, "light")


def lollipop(b: Brush) -> None:
    """A disc on a thin stick."""
    b.box(0.44, 0.5, 0.56, 1.0, "snow", outline=True)
    b.ellipse(0.0, 0.0, 1.0, 0.62)
    b.arc(0.2, 0.12, 0.8, 0.5, 90, 360, width=0.08, tone="light")
    b.arc(0.36, 0.22, 0.8, 0.42, 0, 180, width=0.08, tone="light")


def burger(b: Brush) -> None:
    """Two buns with layers between them."""
    b.box(0.04, 0.72, 0.96, 1.0, radius=0.16)
    b.box(0.02, 0.62, 0.98, 0.74, "ink", radius=0.05)
    b.polygon((0.0, 0.52), (1.0, 0.52), (0.84, 0.68), (0.67, 0.56), (0.5, 0.68), (0.33, 0.56), (0.16, 0.68), tone="leaf")
    b.pie(0.02, 0.0, 0.98, 1.08, 180, 360)
    for x, y in ((0.28, 0.28), (0.5, 0.16), (0.72, 0.28)):
        b.ellipse(x - 0.04, y - 0.04, x + 0.04, y + 0.04, "cream")


def carrot(b: Brush) -> None:
    """A wedge, point down, with a bunch of green."""
    for x in (0.1, 0.5, 0.9):
        b.line((0.5, 0.36), (x, 0.04), width=0.18, tone="leaf")
    b.polygon((0.1, 0.34), (0.3, 0.27), (0.7, 0.27), (0.9, 0.34), (0.58, 0.98), (0.42, 0.98))
    b.line((0.22, 0.46), (0.5, 0.46), width=0.06, tone="dark")
    b.line((0.5, 0.6), (0.72, 0.6), width=0.06, tone="dark")


KINDS = (
    Kind("apple", "apples", apple),
    Kind("pear", "pears", pear, aspect=0.75),
    Kind("banana", "bananas", banana, aspect=1.35),
    Kind("cake", "cakes", cake, aspect=1.05),
    Kind("mushroom", "mushrooms", mushroom, aspect=1.05),
    Kind("lollipop", "lollipops", lollipop, aspect=0.62),
    Kind("burger", "burgers", burger, aspect=1.2),
    Kind("carrot", "carrots", carrot, aspect=0.6),
)
