"""Animals."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def _eye(b: Brush, x: float, y: float, radius: float = 0.045) -> None:
    b.circle(x, y, radius, "snow")
    b.circle(x, y, 0.55 * radius, "ink")


def cat(b: Brush) -> None:
    """Sits facing us: pointed ears, a tail that curls up at its side."""
    b.arc(0.48, 0.36, 1.0, 1.0, -80, 120, width=0.17, tone="dark")
    b.arc(0.5, 0.38, 0.98, 0.98, -78, 120, width=0.13, tone="main")
    b.ellipse(0.14, 0.42, 0.74, 1.0)
    b.polygon((0.06, 0.3), (0.08, 0.0), (0.4, 0.16))
    b.polygon((0.82, 0.3), (0.8, 0.0), (0.48, 0.16))
    b.ellipse(0.04, 0.1, 0.84, 0.6)
    _eye(b, 0.28, 0.32, 0.07)
    _eye(b, 0.6, 0.32, 0.07)
    b.polygon((0.38, 0.42), (0.5, 0.42), (0.44, 0.5), tone="rose")


def dog(b: Brush) -> None:
    """Stands sideways: long muzzle, hanging ear, tail up."""
    b.polygon((0.0, 0.14), (0.1, 0.12), (0.2, 0.5), (0.07, 0.56))
    for x in (0.1, 0.24, 0.52, 0.64):
        b.box(x, 0.6, x + 0.11, 1.0)
    b.box(0.06, 0.42, 0.76, 0.76, radius=0.16)
    b.box(0.58, 0.06, 0.88, 0.56, radius=0.14)
    b.box(0.66, 0.2, 1.0, 0.44, radius=0.12)
    b.ellipse(0.92, 0.17, 1.0, 0.29, "ink")
    b.ellipse(0.5, 0.06, 0.68, 0.5, "dark")
    b.line((0.58, 0.52), (0.8, 0.52), width=0.09, tone="rose")
    _eye(b, 0.78, 0.17, 0.055)


def horse(b: Brush) -> None:
    """Long legs, a slanting neck with a mane, a hanging tail."""
    b.line((0.08, 0.42), (0.03, 0.8), width=0.1, tone="dark")
    for x in (0.1, 0.24, 0.54, 0.66):
        b.box(x, 0.5, x + 0.09, 1.0)
        b.box(x, 0.93, x + 0.09, 1.0, "ink")
    b.polygon((0.44, 0.5), (0.66, 0.04), (0.84, 0.14), (0.76, 0.56))
    b.line((0.46, 0.4), (0.66, 0.04), width=0.11, tone="dark")
    b.box(0.05, 0.36, 0.78, 0.66, radius=0.15)
    b.polygon((0.66, 0.02), (0.74, 0.0), (1.0, 0.26), (0.93, 0.36), (0.7, 0.24))
    _eye(b, 0.78, 0.15)


def rabbit(b: Brush) -> None:
    """Two upright ears half as tall as the whole animal."""
    for x in (0.12, 0.54):
        b.ellipse(x, 0.0, x + 0.34, 0.52)
        b.ellipse(x + 0.1, 0.08, x + 0.24, 0.42, "rose")
    b.ellipse(0.06, 0.58, 0.94, 1.0)
    b.ellipse(0.08, 0.36, 0.92, 0.76)
    _eye(b, 0.32, 0.54, 0.09)
    _eye(b, 0.68, 0.54, 0.09)
    b.box(0.42, 0.66, 0.58, 0.78, "snow", outline=False)
    b.ellipse(0.18, 0.86, 0.44, 1.0, "light")
    b.ellipse(0.56, 0.86, 0.82, 1.0, "light")


def elephant(b: Brush) -> None:
    """A heavy body on pillars, a great ear and a trunk to the ground."""
    for x in (0.04, 0.24, 0.46):
        b.box(x, 0.6, x + 0.17, 1.0)
    b.ellipse(0.0, 0.12, 0.72, 0.84)
    b.ellipse(0.52, 0.06, 0.94, 0.62)
    b.line((0.86, 0.34), (0.9, 0.7), (0.92, 0.98), width=0.17, tone="dark")
    b.line((0.86, 0.3), (0.9, 0.7), (0.92, 0.97), width=0.13, tone="main")
    b.polygon((0.7, 0.56), (0.82, 0.58), (0.8, 0.78), tone="snow")
    b.ellipse(0.38, 0.1, 0.7, 0.66, "light", outline=True)
    _eye(b, 0.8, 0.26, 0.05)


def giraffe(b: Brush) -> None:
    """Most of its height is neck."""
    for x in (0.06, 0.24, 0.5, 0.66):
        b.box(x, 0.66, x + 0.13, 1.0)
    b.polygon((0.48, 0.66), (0.6, 0.08), (0.8, 0.08), (0.8, 0.68))
    b.box(0.04, 0.56, 0.82, 0.76, radius=0.18)
    b.line((0.62, 0.1), (0.58, 0.0), width=0.07, tone="dark")
    b.line((0.72, 0.1), (0.72, 0.0), width=0.07, tone="dark")
    b.box(0.56, 0.05, 1.0, 0.17, radius=0.12)
    _eye(b, 0.72, 0.1, 0.065)


def duck(b: Brush) -> None:
    """A boat-shaped body, a round head and a broad bill."""
    b.line((0.38, 0.84), (0.38, 0.97), (0.5, 0.97), width=0.06, tone="gold")
    b.line((0.56, 0.84), (0.56, 0.97), (0.68, 0.97), width=0.06, tone="gold")
    b.polygon((0.0, 0.36), (0.3, 0.5), (0.2, 0.76))
    b.ellipse(0.06, 0.4, 0.86, 0.9)
    b.ellipse(0.48, 0.0, 0.88, 0.44)
    b.polygon((0.84, 0.16), (1.0, 0.24), (1.0, 0.32), (0.82, 0.34), tone="gold")
    b.pie(0.16, 0.34, 0.62, 0.78, 0, 180, "light")
    _eye(b, 0.72, 0.16, 0.06)


def turtle(b: Brush) -> None:
    """A flat-bottomed dome with a head and two feet sticking out."""
    b.polygon((0.0, 0.9), (0.1, 0.66), (0.14, 0.84), tone="leaf")
    b.box(0.12, 0.66, 0.3, 1.0, "leaf", radius=0.08)
    b.box(0.52, 0.66, 0.7, 1.0, "leaf", radius=0.08)
    b.line((0.66, 0.78), (0.86, 0.5), width=0.2, tone="leaf")
    b.ellipse(0.76, 0.26, 1.0, 0.64, "leaf")
    b.pie(0.04, 0.0, 0.8, 1.48, 180, 360)
    b.box(0.03, 0.7, 0.81, 0.8, "dark")
    _eye(b, 0.91, 0.4, 0.07)


def snail(b: Brush) -> None:
    """A spiral shell on a long foot, two horns."""
    b.line((0.86, 0.5), (0.8, 0.2), width=0.05, tone="stone")
    b.line((0.9, 0.5), (0.97, 0.2), width=0.05, tone="stone")
    b.circle(0.8, 0.2, 0.06, "ink")
    b.circle(0.96, 0.2, 0.06, "ink")
    b.box(0.78, 0.38, 0.98, 1.0, "cream", radius=0.14)
    b.polygon((0.0, 1.0), (0.2, 0.82), (0.9, 0.82), (0.9, 1.0), tone="cream")
    b.ellipse(0.04, 0.0, 0.8, 0.94)
    b.arc(0.2, 0.18, 0.66, 0.76, 60, 360, width=0.05, tone="dark")
    b.arc(0.34, 0.32, 0.66, 0.66, 0, 200, width=0.05, tone="dark")


def pig(b: Brush) -> None:
    """A barrel on short legs, a disc of a snout, a curly tail."""
    b.arc(0.0, 0.22, 0.14, 0.48, 40, 330, width=0.07, tone="dark")
    for x in (0.16, 0.34, 0.54, 0.7):
        b.box(x, 0.7, x + 0.13, 1.0)
    b.ellipse(0.06, 0.08, 0.84, 0.88)
    b.polygon((0.5, 0.2), (0.56, 0.0), (0.72, 0.16), tone="dark")
    b.polygon((0.74, 0.2), (0.84, 0.0), (0.9, 0.22), tone="dark")
    b.ellipse(0.5, 0.1, 0.94, 0.68)
    b.ellipse(0.76, 0.3, 1.0, 0.64, "rose")
    b.circle(0.85, 0.47, 0.04, "ink")
    b.circle(0.93, 0.47, 0.04, "ink")
    _eye(b, 0.7, 0.28, 0.06)


def bird(b: Brush) -> None:
    """Flies with its wing raised."""
    b.polygon((0.0, 0.42), (0.34, 0.56), (0.04, 0.76))
    b.ellipse(0.2, 0.4, 0.8, 0.86)
    b.ellipse(0.6, 0.26, 0.9, 0.66)
    b.polygon((0.86, 0.4), (1.0, 0.5), (0.86, 0.55), tone="gold")
    b.polygon((0.3, 0.62), (0.2, 0.0), (0.64, 0.6))
    b.polygon((0.36, 0.56), (0.29, 0.2), (0.54, 0.56), tone="light")
    _eye(b, 0.77, 0.4, 0.06)


def butterfly(b: Brush) -> None:
    """Two pairs of open wings."""
    for side in (-1, 1):
        b.line((0.5, 0.24), (0.5 + 0.16 * side, 0.02), width=0.05)
        b.ellipse(0.5, 0.5, 0.5 + 0.42 * side, 1.0)
        b.ellipse(0.5, 0.06, 0.5 + 0.5 * side, 0.62)
        b.circle(0.5 + 0.27 * side, 0.33, 0.09, "gold")
    b.box(0.45, 0.2, 0.55, 0.86, "ink", radius=0.05)


KINDS = (
    Kind("cat", "cats", cat, aspect=0.9),
    Kind("dog", "dogs", dog, aspect=1.15),
    Kind("horse", "horses", horse, aspect=1.05),
    Kind("rabbit", "rabbits", rabbit, aspect=0.62),
    Kind("elephant", "elephants", elephant, aspect=1.25),
    Kind("giraffe", "giraffes", giraffe, aspect=0.6),
    Kind("duck", "ducks", duck, aspect=1.1),
    Kind("turtle", "turtles", turtle, aspect=1.6),
    Kind("snail", "snails", snail, aspect=1.25),
    Kind("pig", "pigs", pig, aspect=1.25),
    Kind("bird", "birds", bird, aspect=1.2, floats=True),
    Kind("butterfly", "butterflies", butterfly, aspect=1.1, floats=True),
)
