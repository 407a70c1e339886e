"""The indoor settings: walls round a window that shows the sky, and a wide floor.

The sky is there already and goes past the window's edges, so a room covers everything but its window.
"""

from __future__ import annotations

from .canvas import Box, Brush

#: Where the walls end, and where the window of each room is.
FLOOR = 0.52
KITCHEN_WINDOW = (0.33, 0.06, 0.69, 0.34)
BEDROOM_WINDOW = (0.13, 0.07, 0.47, 0.36)
CLASSROOM_WINDOW = (0.61, 0.06, 0.95, 0.36)
MUSEUM_WINDOW = (0.33, 0.04, 0.67, 0.37)


def _draw_room(brush: Brush, window: Box) -> None:
    """Walls in "far" round the window, its frame in "d", a floor in "ground" below `FLOOR`, a white skirting board."""
    left, top, right, bottom = window
    brush.box(0, 0, 1, top, tone="far")
    brush.box(0, top, left, bottom, tone="far")
    brush.box(right, top, 1, bottom, tone="far")
    brush.box(0, bottom, 1, FLOOR, tone="far")
    brush.box(0, FLOOR, 1, 1, tone="ground")
    brush.box(0, FLOOR - 0.02, 1, FLOOR, tone="d")


def _draw_frame(brush: Brush, window: Box) -> None:
    left, top, right, bottom = window
    brush.line((left, top), (right, top), (right, bottom), (left, bottom), (left, top), width=0.022, tone="d")
    brush.line(((left + right) / 2, top), ((left + right) / 2, bottom), width=0.012, tone="d")
    brush.box(left - 0.03, bottom - 0.004, right + 0.03, bottom + 0.022, tone="d")


def _draw_planks(brush: Brush) -> None:
    """Floor boards as lines that widen towards the viewer."""
    for i in range(-5, 6):
        brush.line((0.5 + 0.11 * i, FLOOR), (0.5 + 0.24 * i, 1), width=0.008, tone="ground_dark")


def draw_kitchen(brush: Brush) -> None:
    _draw_room(brush, KITCHEN_WINDOW)
    brush.box(0, 0.0, 0.27, 0.19, tone="a")
    brush.box(0.75, 0.0, 1, 0.19, tone="a")
    for x in (0.135, 0.875):
        brush.line((x, 0), (x, 0.19), width=0.008, tone="b")
    for i in range(11):
        brush.line((0.1 * i, 0.37), (0.1 * i, 0.43), width=0.007, tone="far_dark")
    brush.line((0, 0.395), (1, 0.395), width=0.007, tone="far_dark")
    brush.box(0, 0.42, 1, 0.445, tone="c")
    brush.box(0, 0.445, 1, 0.52, tone="a")
    for i in range(1, 6):
        brush.line((i / 6, 0.445), (i / 6, 0.52), width=0.008, tone="b")
    for row, (top, base) in enumerate(((0.52, 0.59), (0.59, 0.68), (0.68, 0.81), (0.81, 1.0))):
        for i in range(-6, 6):
            if (row + i) % 2:
                high, low = 0.13 + 0.2 * (top - 0.52), 0.13 + 0.2 * (base - 0.52)
                corners = ((high * i, top), (high * (i + 1), top), (low * (i + 1), base), (low * i, base))
                brush.polygon(*((0.5 + x, y) for x, y in corners), tone="ground_light")
    _draw_frame(brush, KITCHEN_WINDOW)


def draw_bedroom(brush: Brush) -> None:
    _draw_room(brush, BEDROOM_WINDOW)
    left, top, right, bottom = BEDROOM_WINDOW
    for i in range(10):
        x = 0.03 + 0.1 * i
        brush.box(x, 0 if not left - 0.04 < x < right else bottom, x + 0.035, 0.5, tone="far_dark")
    _draw_planks(brush)
    brush.ellipse(0.12, 0.66, 0.88, 0.94, tone="a")
    brush.ellipse(0.19, 0.69, 0.81, 0.91, tone="b")
    _draw_frame(brush, BEDROOM_WINDOW)
    for edge, inner in ((left - 0.08, left + 0.015), (right + 0.08, right - 0.015)):
        brush.polygon((edge, top - 0.03), (inner, top - 0.03), (inner, top + 0.12), (edge, bottom + 0.06), tone="c")
    brush.line((left - 0.09, top - 0.03), (right + 0.09, top - 0.03), width=0.016, tone="b")


def draw_classroom(brush: Brush) -> None:
    _draw_room(brush, CLASSROOM_WINDOW)
    brush.box(0, 0.41, 1, 0.5, tone="far_dark")
    brush.box(0.05, 0.08, 0.53, 0.36, tone="b")
    brush.box(0.065, 0.095, 0.515, 0.345, tone="a")
    for y, right in ((0.15, 0.3), (0.2, 0.4), (0.25, 0.26)):
        brush.line((0.11, y), (right, y), width=0.009, tone="c")
    _draw_planks(brush)
    _draw_frame(brush, CLASSROOM_WINDOW)


def draw_museum(brush: Brush) -> None:
    _draw_room(brush, MUSEUM_WINDOW)
    for x in (0.14, 0.74):
        brush.box(x, 0.12, x + 0.12, 0.32, tone="b")
        brush.box(x + 0.015, 0.135, x + 0.105, 0.305, tone="c")
        brush.ellipse(x + 0.025, 0.2, x + 0.095, 0.29, tone="far_dark")
    _draw_frame(brush, MUSEUM_WINDOW)
    for x in (0.015, 0.905):
        brush.box(x, 0.03, x + 0.08, 0.5, tone="a")
        for flute in (x + 0.027, x + 0.053):
            brush.line((flute, 0.08), (flute, 0.48), width=0.008, tone="b")
        for y in (0.03, 0.485):
            brush.box(x - 0.015, y, x + 0.095, y + 0.035, tone="d")
    brush.box(0, 0, 1, 0.03, tone="a")
    for row, y in enumerate((0.6, 0.72, 0.88)):
        half = 0.1 + 0.035 * row
        for i in range(-3, 4):
            x = 0.5 + 2 * half * (i + 0.5 * (row % 2))
            brush.polygon((x - half, y), (x, y - 0.4 * half), (x + half, y), (x, y + 0.4 * half), tone="ground_light")
