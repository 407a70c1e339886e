"""Buildings, tents and mailboxes."""

from __future__ import annotations

from ..canvas import Brush
from .kind import Kind


def house(b: Brush) -> None:
    b.box(0.7, 0.02, 0.84, 0.36, "stone")
    b.box(0.05, 0.34, 0.95, 1.0)
    b.polygon((0.5, 0.0), (1.0, 0.37), (0.0, 0.37), tone="wood", outline=True)
    b.box(0.41, 0.68, 0.59, 1.0, "wood")
    for x in (0.13, 0.69):
        b.box(x, 0.5, x + 0.18, 0.68, "glass", outline=True)


def tent(b: Brush) -> None:
    b.line((0.43, 0.0), (0.53, 0.16), width=0.06, tone="wood")
    b.line((0.57, 0.0), (0.47, 0.16), width=0.06, tone="wood")
    b.polygon((0.5, 0.06), (1.0, 1.0), (0.0, 1.0))
    b.polygon((0.5, 0.4), (0.65, 1.0), (0.35, 1.0), tone="ink")
    b.polygon((0.5, 0.4), (0.35, 1.0), (0.26, 1.0), tone="light")
    b.polygon((0.5, 0.4), (0.65, 1.0), (0.74, 1.0), tone="light")


def windmill(b: Brush) -> None:
    b.polygon((0.31, 0.3), (0.69, 0.3), (0.88, 1.0), (0.12, 1.0))
    b.pie(0.29, 0.1, 0.71, 0.5, 180, 360)
    b.box(0.43, 0.8, 0.57, 1.0, "wood")
    for x in (0.0, 1.0):
        for y in (0.0, 0.68):
            b.line((0.5, 0.34), (abs(x - 0.05), abs(y - 0.05)), width=0.13, tone="dark")
            b.line((0.5, 0.34), (abs(x - 0.07), abs(y - 0.065)), width=0.08, tone="cream")
    b.circle(0.5, 0.34, 0.07, "wood")


def lighthouse(b: Brush) -> None:
    b.polygon((0.5, 0.17), (0.0, 0.06), (0.0, 0.3), tone="gold")
    b.polygon((0.5, 0.17), (1.0, 0.06), (1.0, 0.3), tone="gold")
    b.polygon((0.32, 0.3), (0.68, 0.3), (0.86, 1.0), (0.14, 1.0))
    b.box(0.36, 0.12, 0.64, 0.28, "snow", outline=True)
    b.polygon((0.5, 0.0), (0.74, 0.13), (0.26, 0.13))
    b.box(0.22, 0.26, 0.78, 0.33, "dark")
    b.box(0.4, 0.84, 0.6, 1.0, "wood")
    b.box(0.42, 0.46, 0.58, 0.56, "glass", outline=True)


def castle(b: Brush) -> None:
    b.line((0.5, 0.0), (0.5, 0.3), width=0.04, tone="wood")
    b.polygon((0.5, 0.0), (0.7, 0.07), (0.5, 0.15), tone="rose")
    for x in (0.35, 0.53):
        b.box(x, 0.3, x + 0.12, 0.5)
    b.box(0.2, 0.42, 0.8, 1.0)
    for x in (0.0, 0.7):
        for merlon in (0.0, 0.19):
            b.box(x + merlon, 0.14, x + merlon + 0.11, 0.34)
        b.box(x, 0.26, x + 0.3, 1.0)
        b.box(x + 0.1, 0.42, x + 0.2, 0.58, "ink")
    b.pie(0.39, 0.6, 0.61, 0.86, 180, 360, "ink")
    b.box(0.39, 0.73, 0.61, 1.0, "ink")


def barn(b: Brush) -> None:
    b.polygon((0.5, 0.03), (0.82, 0.18), (0.95, 0.4), (0.95, 1.0), (0.05, 1.0), (0.05, 0.4), (0.18, 0.18))
    b.line((0.03, 0.42), (0.17, 0.19), (0.5, 0.03), (0.83, 0.19), (0.97, 0.42), width=0.08, tone="stone")
    b.box(0.4, 0.2, 0.6, 0.36, "ink")
    b.box(0.26, 0.52, 0.74, 1.0, "wood", outline=True)
    b.line((0.28, 0.54), (0.72, 0.97), width=0.07, tone="snow")
    b.line((0.72, 0.54), (0.28, 0.97), width=0.07, tone="snow")


def igloo(b: Brush) -> None:
    b.pie(0.14, 0.0, 1.0, 2.0, 180, 360)
    b.arc(0.16, 0.34, 0.98, 1.2, 190, 350, width=0.03, tone="dark")
    b.arc(0.16, 0.66, 0.98, 1.4, 190, 350, width=0.03, tone="dark")
    for x, y in ((0.57, 0.02), (0.42, 0.36), (0.72, 0.36), (0.6, 0.68), (0.84, 0.7)):
        b.line((x, y), (x, y + 0.3), width=0.03, tone="dark")
    b.pie(0.0, 0.44, 0.46, 1.56, 180, 360)
    b.pie(0.09, 0.62, 0.37, 1.38, 180, 360, "ink")


def mailbox(b: Brush) -> None:
    b.box(0.42, 0.5, 0.6, 1.0, "wood")
    b.box(0.68, 0.0, 0.76, 0.3, "stone")
    b.box(0.68, 0.0, 0.94, 0.14, "rose")
    b.box(0.18, 0.16, 1.0, 0.62, radius=0.2)
    b.box(0.4, 0.4, 1.0, 0.62)
    b.box(0.0, 0.16, 0.42, 0.62, radius=0.2)
    b.box(0.08, 0.36, 0.34, 0.5, "snow", outline=True)


KINDS = (
    Kind("house", "houses", house, aspect=1.05),
    Kind("tent", "tents", tent, aspect=1.3),
    Kind("windmill", "windmills", windmill, aspect=0.8),
    Kind("lighthouse", "lighthouses", lighthouse, aspect=0.62),
    Kind("castle", "castles", castle, aspect=1.1),
    Kind("barn", "barns", barn, aspect=1.15),
    Kind("igloo", "igloos", igloo, aspect=1.6),
    Kind("mailbox", "mailboxes", mailbox, aspect=0.85),
)
