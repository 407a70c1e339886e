"""Clothing and what is carried with it."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def hat(b: Brush) -> None:
    b.ellipse(0.0, 0.7, 1.0, 1.0)
    b.polygon((0.18, 0.06), (0.82, 0.06), (0.76, 0.86), (0.24, 0.86))
    b.ellipse(0.18, 0.0, 0.82, 0.14)
    b.polygon((0.215, 0.64), (0.785, 0.64), (0.765, 0.84), (0.235, 0.84), tone="gold")


def boot(b: Brush) -> None:
    b.polygon((0.04, 0.06), (0.56, 0.06), (0.58, 0.5), (0.84, 0.56), (0.98, 0.7), (1.0, 0.88), (0.04, 0.88))
    b.box(0.0, 0.0, 0.6, 0.16, "light", outline=True)
    b.box(0.02, 0.86, 1.0, 0.93, "ink")
    b.box(0.02, 0.86, 0.34, 1.0, "ink")


def shirt(b: Brush) -> None:
    left = ((0.5, 0.08), (0.34, 0.0), (0.2, 0.04), (0.0, 0.34), (0.16, 0.46), (0.24, 0.36), (0.24, 1.0))
    b.polygon(*left, *((1 - x, y) for x, y in reversed(left)))
    b.pie(0.34, -0.16, 0.66, 0.18, 0, 180, "dark")
    for y in (0.36, 0.58, 0.8):
        b.circle(0.5, y, 0.035, "dark")


def umbrella(b: Brush) -> None:
    b.box(0.46, 0.0, 0.54, 0.9, "stone")
    b.arc(0.46, 0.76, 0.78, 1.0, 0, 180, width=0.08, tone="stone")
    dome = ((0.0, 0.56), (0.05, 0.32), (0.2, 0.15), (0.38, 0.07), (0.62, 0.07), (0.8, 0.15), (0.95, 0.32), (1.0, 0.56))
    b.polygon(*dome, (0.83, 0.46), (0.67, 0.56), (0.5, 0.46), (0.33, 0.56), (0.17, 0.46))
    b.line((0.33, 0.55), (0.38, 0.26), (0.5, 0.08), (0.62, 0.26), (0.67, 0.55), width=0.03, tone="dark")


def glove(b: Brush) -> None:
    for x, y in ((0.04, 0.12), (0.27, 0.0), (0.5, 0.06)):
        b.box(x, y, x + 0.22, 0.6, radius=0.1)
    b.polygon((0.64, 0.66), (0.82, 0.3), (0.94, 0.28), (1.0, 0.4), (0.8, 0.8), (0.58, 0.86))
    b.box(0.04, 0.44, 0.72, 0.86, radius=0.1)
    b.box(0.07, 0.38, 0.69, 0.6, outline=False)
    b.box(0.0, 0.8, 0.78, 1.0, "snow", radius=0.06, outline=True)


def dress(b: Brush) -> None:
    left = ((0.5, 0.16), (0.38, 0.12), (0.36, 0.0), (0.24, 0.0), (0.24, 0.14), (0.32, 0.4), (0.0, 0.94))
    hem = ((0.18, 1.0), (0.34, 0.95), (0.5, 1.0), (0.66, 0.95), (0.82, 1.0))
    b.polygon(*left, *hem, *((1 - x, y) for x, y in reversed(left)))
    b.box(0.3, 0.37, 0.7, 0.45, "dark")
    b.polygon((0.5, 0.41), (0.34, 0.3), (0.34, 0.52), (0.66, 0.3), (0.66, 0.52), tone="light")


def sock(b: Brush) -> None:
    leg = ((0.34, 0.1), (0.94, 0.1), (0.92, 0.6), (0.8, 0.78), (0.44, 0.98), (0.2, 1.0))
    b.polygon(*leg, (0.0, 0.9), (0.0, 0.74), (0.36, 0.54))
    b.polygon((0.14, 0.66), (0.34, 1.0), (0.2, 1.0), (0.0, 0.9), (0.0, 0.74), tone="snow", outline=True)
    b.box(0.28, 0.0, 1.0, 0.2, "snow", radius=0.06, outline=True)


def backpack(b: Brush) -> None:
    b.arc(0.32, 0.0, 0.68, 0.24, 180, 360, width=0.08, tone="stone")
    for x in (0.0, 0.8):
        b.box(x, 0.48, x + 0.2, 0.92, radius=0.08)
    b.box(0.1, 0.08, 0.9, 1.0, radius=0.3)
    b.box(0.1, 0.6, 0.9, 1.0, radius=0.1)
    b.box(0.22, 0.58, 0.78, 0.9, "light", radius=0.06, outline=True)
    b.arc(0.14, -0.16, 0.86, 0.46, 10, 170, width=0.05, tone="dark")
    b.box(0.45, 0.38, 0.55, 0.66, "gold")


KINDS = (
    Kind("hat", "hats", hat, aspect=1.15),
    Kind("boot", "boots", boot, aspect=0.9),
    Kind("shirt", "shirts", shirt, aspect=1.1),
    Kind("umbrella", "umbrellas", umbrella),
    Kind("glove", "gloves", glove, aspect=0.85),
    Kind("dress", "dresses", dress, aspect=0.75),
    Kind("sock", "socks", sock, aspect=0.75),
    Kind("backpack", "backpacks", backpack, aspect=0.85),
)
