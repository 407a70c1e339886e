"""Toys."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def ball(b: Brush) -> None:
    b.ellipse(0.0, 0.0, 1.0, 1.0)
    b.arc(-0.62, -0.1, 0.4, 1.1, -43, 43, width=0.05, tone="dark")
    b.arc(0.6, -0.1, 1.62, 1.1, 137, 223, width=0.05, tone="dark")
    b.ellipse(0.48, 0.1, 0.66, 0.26, "light")


def kite(b: Brush) -> None:
    b.line((0.5, 0.66), (0.4, 0.78), (0.58, 0.88), (0.5, 1.0), width=0.06)
    for x, y in ((0.42, 0.79), (0.56, 0.92)):
        b.polygon((x, y), (x - 0.2, y - 0.06), (x - 0.2, y + 0.06), (x + 0.2, y - 0.06), (x + 0.2, y + 0.06))
    b.polygon((0.5, 0.0), (1.0, 0.27), (0.5, 0.72), (0.0, 0.27))
    b.line((0.5, 0.02), (0.5, 0.7), width=0.04, tone="dark")
    b.line((0.02, 0.27), (0.98, 0.27), width=0.04, tone="dark")


def balloon(b: Brush) -> None:
    b.line((0.5, 0.68), (0.38, 0.78), (0.6, 0.88), (0.5, 1.0), width=0.07)
    b.polygon((0.5, 0.6), (0.3, 0.74), (0.7, 0.74))
    b.ellipse(0.0, 0.0, 1.0, 0.68)
    b.ellipse(0.2, 0.1, 0.38, 0.28, "light")


def robot(b: Brush) -> None:
    b.line((0.5, 0.0), (0.5, 0.16), width=0.08, tone="stone")
    b.circle(0.5, 0.06, 0.07, "gold")
    for x in (0.0, 0.84):
        b.box(x, 0.44, x + 0.16, 0.76)
    for x in (0.2, 0.58):
        b.box(x, 0.78, x + 0.22, 0.94)
        b.box(x - 0.04, 0.9, x + 0.26, 1.0, "stone")
    b.box(0.2, 0.12, 0.8, 0.42)
    b.box(0.14, 0.42, 0.86, 0.82)
    for x in (0.37, 0.63):
        b.circle(x, 0.25, 0.1, "snow")
        b.circle(x, 0.25, 0.045, "ink")
    b.box(0.34, 0.52, 0.66, 0.68, "steel")


def teddy(b: Brush) -> None:
    for x in (0.22, 0.78):
        b.circle(x, 0.12, 0.14)
        b.circle(x, 0.12, 0.07, "tan")
    for x in (0.02, 0.7):
        b.ellipse(x, 0.48, x + 0.28, 0.76)
    b.ellipse(0.17, 0.42, 0.83, 0.97)
    for x in (0.0, 0.64):
        b.ellipse(x, 0.7, x + 0.36, 1.0)
        b.ellipse(x + 0.1, 0.78, x + 0.26, 0.93, "tan")
    b.ellipse(0.15, 0.03, 0.85, 0.55)
    b.ellipse(0.33, 0.28, 0.67, 0.5, "cream")
    b.ellipse(0.43, 0.29, 0.57, 0.38, "ink")
    for x in (0.33, 0.67):
        b.circle(x, 0.23, 0.05, "ink")


def pinwheel(b: Brush) -> None:
    b.box(0.45, 0.36, 0.55, 1.0, "wood")
    b.polygon((0.5, 0.36), (0.0, 0.0), (0.5, 0.06))
    b.polygon((0.5, 0.36), (1.0, 0.0), (0.92, 0.36))
    b.polygon((0.5, 0.36), (1.0, 0.72), (0.5, 0.66))
    b.polygon((0.5, 0.36), (0.0, 0.72), (0.08, 0.36))
    b.circle(0.5, 0.36, 0.08, "gold")


def sled(b: Brush) -> None:
    b.line((0.0, 0.94), (0.8, 0.94), (0.92, 0.84), (0.96, 0.6), (0.9, 0.3), (0.8, 0.16), width=0.12, tone="stone")
    for x in (0.18, 0.6):
        b.box(x, 0.55, x + 0.07, 0.92, "stone")
    b.polygon((0.0, 0.22), (0.84, 0.22), (0.92, 0.64), (0.0, 0.64))
    b.line((0.8, 0.2), (0.66, 0.08), (0.46, 0.05), width=0.08, tone="tan")


def doll(b: Brush) -> None:
    for x in (0.36, 0.64):
        b.line((x, 0.82), (x, 0.94), width=0.11, tone="cream")
        b.box(x - 0.1, 0.93, x + 0.08, 1.0, "ink", radius=0.05)
    b.line((0.04, 0.6), (0.5, 0.5), (0.96, 0.6), width=0.11, tone="cream")
    for x in (0.12, 0.88):
        b.circle(x, 0.34, 0.12, "gold")
    b.polygon((0.38, 0.42), (0.62, 0.42), (1.0, 0.88), (0.0, 0.88))
    b.circle(0.5, 0.24, 0.33)
    b.ellipse(0.27, 0.16, 0.73, 0.46, "cream")
    b.pie(0.27, 0.1, 0.73, 0.36, 180, 360, "gold")
    for x in (0.39, 0.61):
        b.circle(x, 0.3, 0.05, "ink")


KINDS = (
    Kind("ball", "balls", ball),
    Kind("kite", "kites", kite, aspect=0.75, floats=True),
    Kind("balloon", "balloons", balloon, aspect=0.66, floats=True),
    Kind("robot", "robots", robot, aspect=0.8),
    Kind("teddy", "teddies", teddy, aspect=0.9),
    Kind("pinwheel", "pinwheels", pinwheel, aspect=0.72),
    Kind("sled", "sleds", sled, aspect=1.8),
    Kind("doll", "dolls", doll, aspect=0.72),
)
