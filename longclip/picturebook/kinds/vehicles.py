"""Vehicles."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def _wheel(b: Brush, x: float, radius: float) -> None:
    """A wheel on the ground, however wide the box is; `radius` is a fraction of the box's height."""
    b.circle(x, 1.0 - radius, radius, "ink")
    b.circle(x, 1.0 - radius, 0.45 * radius, "steel")


def car(b: Brush) -> None:
    b.polygon((0.18, 0.5), (0.32, 0.0), (0.7, 0.0), (0.86, 0.5))
    b.polygon((0.29, 0.4), (0.36, 0.12), (0.47, 0.12), (0.47, 0.4), tone="glass")
    b.polygon((0.55, 0.4), (0.55, 0.12), (0.66, 0.12), (0.75, 0.4), tone="glass")
    b.box(0.0, 0.4, 1.0, 0.88, radius=0.14)
    b.box(0.93, 0.5, 1.0, 0.62, "gold")
    _wheel(b, 0.23, 0.21)
    _wheel(b, 0.77, 0.21)


def bus(b: Brush) -> None:
    """Tall and square with a row of windows from end to end."""
    b.box(0.0, 0.0, 1.0, 0.9, radius=0.08)
    for x in (0.06, 0.25, 0.44, 0.63):
        b.box(x, 0.14, x + 0.13, 0.38, "glass")
    b.box(0.83, 0.14, 0.94, 0.7, "glass")
    _wheel(b, 0.22, 0.15)
    _wheel(b, 0.68, 0.15)


def truck(b: Brush) -> None:
    """A high load and a lower cab in front."""
    b.box(0.0, 0.7, 1.0, 0.84, "stone")
    b.box(0.0, 0.0, 0.62, 0.74)
    b.polygon((0.66, 0.8), (0.66, 0.26), (0.86, 0.26), (1.0, 0.52), (1.0, 0.8), outline=True)
    b.polygon((0.72, 0.52), (0.72, 0.34), (0.83, 0.34), (0.93, 0.52), tone="glass")
    for x in (0.14, 0.38, 0.82):
        _wheel(b, x, 0.18)


def bicycle(b: Brush) -> None:
    """Two thick rings and a frame between them."""
    for x in (0.0, 0.56):
        b.arc(x, 0.3, x + 0.44, 1.0, 0, 360, width=0.16, tone="dark")
        b.arc(x + 0.015, 0.324, x + 0.425, 0.976, 0, 360, width=0.11, tone="main")
    for width, tone in ((0.14, "dark"), (0.09, "main")):
        b.line((0.22, 0.65), (0.36, 0.3), (0.68, 0.3), (0.48, 0.66), (0.22, 0.65), width=width, tone=tone)
        b.line((0.48, 0.66), (0.33, 0.14), width=width, tone=tone)
    b.line((0.78, 0.65), (0.66, 0.06), (0.82, 0.04), width=0.09, tone="stone")
    b.box(0.24, 0.06, 0.44, 0.16, "ink")


def boat(b: Brush) -> None:
    """A big and a small sail above a hull."""
    b.box(0.44, 0.0, 0.49, 0.76, "wood")
    b.polygon((0.52, 0.02), (0.98, 0.66), (0.52, 0.66))
    b.polygon((0.41, 0.14), (0.41, 0.66), (0.06, 0.66))
    b.polygon((0.0, 0.74), (1.0, 0.74), (0.82, 1.0), (0.18, 1.0))


def train(b: Brush) -> None:
    """A steam locomotive: cab behind, boiler and chimney in front, a row of wheels."""
    b.polygon((0.73, 0.32), (0.68, 0.0), (0.94, 0.0), (0.89, 0.32))
    b.box(0.04, 0.06, 0.4, 0.84)
    b.box(0.0, 0.0, 0.44, 0.1, "dark")
    b.box(0.13, 0.18, 0.31, 0.38, "glass")
    b.box(0.36, 0.26, 0.96, 0.84, radius=0.06)
    b.polygon((0.86, 0.8), (1.0, 1.0), (0.8, 1.0), tone="stone")
    b.box(0.55, 0.28, 0.6, 0.82, "gold")
    for x in (0.14, 0.37, 0.6):
        _wheel(b, x, 0.15)


def tractor(b: Brush) -> None:
    """One huge rear wheel, a small front one, an exhaust pipe."""
    b.box(0.78, 0.08, 0.84, 0.5, "ink")
    b.box(0.08, 0.0, 0.6, 0.56, radius=0.06)
    b.box(0.24, 0.12, 0.5, 0.36, "glass")
    b.box(0.08, 0.34, 1.0, 0.82, radius=0.08)
    b.circle(0.27, 0.67, 0.33, "ink")
    b.circle(0.27, 0.67, 0.25)
    b.circle(0.27, 0.67, 0.07, "steel")
    _wheel(b, 0.84, 0.15)


def scooter(b: Brush) -> None:
    """A kick scooter: a board on two small wheels and a tall handlebar."""
    b.polygon((0.6, 0.04), (0.84, 0.04), (1.0, 0.8), (0.74, 0.8))
    b.box(0.46, 0.0, 0.94, 0.1, "ink", radius=0.05)
    b.box(0.0, 0.66, 1.0, 0.88, radius=0.08)
    _wheel(b, 0.17, 0.13)
    _wheel(b, 0.83, 0.13)


def rocket(b: Brush) -> None:
    b.polygon((0.34, 0.84), (0.66, 0.84), (0.5, 1.0), tone="gold")
    b.polygon((0.28, 0.5), (0.28, 0.82), (0.0, 0.96))
    b.polygon((0.72, 0.5), (0.72, 0.82), (1.0, 0.96))
    b.polygon((0.5, 0.0), (0.7, 0.16), (0.78, 0.36), (0.74, 0.86), (0.26, 0.86), (0.22, 0.36), (0.3, 0.16))
    b.circle(0.5, 0.38, 0.17, "snow")
    b.circle(0.5, 0.38, 0.11, "glass")


def plane(b: Brush) -> None:
    """From the side: a long hull, one wing towards us, a tail fin."""
    b.polygon((0.02, 0.0), (0.16, 0.0), (0.32, 0.42), (0.06, 0.46))
    b.polygon((0.46, 0.4), (0.4, 0.04), (0.52, 0.04), (0.66, 0.4))
    b.box(0.02, 0.3, 1.0, 0.66, radius=0.18)
    b.pie(0.8, 0.32, 0.99, 0.64, 270, 360, "glass")
    b.polygon((0.4, 0.54), (0.66, 0.54), (0.4, 1.0), (0.24, 1.0), tone="light", outline=True)


def helicopter(b: Brush) -> None:
    """A round cabin with a tail boom, a rotor above and skids below."""
    b.box(0.26, 0.0, 1.0, 0.07, "ink")
    b.box(0.6, 0.04, 0.66, 0.24, "ink")
    b.polygon((0.04, 0.34), (0.5, 0.32), (0.5, 0.6), (0.04, 0.46))
    b.polygon((0.0, 0.14), (0.1, 0.14), (0.13, 0.56), (0.04, 0.56))
    b.ellipse(0.36, 0.2, 0.96, 0.84)
    b.pie(0.5, 0.28, 0.9, 0.72, 270, 360, "glass")
    for x in (0.52, 0.78):
        b.line((x, 0.8), (x, 0.96), width=0.06)
    b.box(0.42, 0.94, 0.96, 1.0, "ink")


KINDS = (
    Kind("car", "cars", car, aspect=1.9),
    Kind("bus", "buses", bus, aspect=1.7),
    Kind("truck", "trucks", truck, aspect=1.6),
    Kind("bicycle", "bicycles", bicycle, aspect=1.6),
    Kind("boat", "boats", boat, aspect=0.95),
    Kind("train", "trains", train, aspect=1.35),
    Kind("tractor", "tractors", tractor, aspect=1.25),
    Kind("scooter", "scooters", scooter, aspect=0.9),
    Kind("rocket", "rockets", rocket, aspect=0.6),
    Kind("plane", "planes", plane, aspect=1.7, floats=True),
    Kind("helicopter", "helicopters", helicopter, aspect=1.5, floats=True),
)
