"""The outdoor settings: what is far away and the ground, drawn below a sky that is there already.

Each is a few pale shapes in the tones its setting names; a brush here has the whole picture as its box.
"""

from __future__ import annotations

from .canvas import Brush

#: The peaks of the mountains: x, top, half the width at the foot, tone. None is where the sun stands.
PEAKS = ((0.37, 0.19, 0.34, "far"), (0.93, 0.34, 0.26, "far"), (0.63, 0.24, 0.27, "far_dark"), (0.05, 0.36, 0.22, "far_dark"))
#: The houses of the street from left to right: width, top. They are low where the sun rises and sets.
HOUSES = ((0.15, 0.36), (0.12, 0.32), (0.17, 0.2), (0.13, 0.27), (0.16, 0.22), (0.12, 0.33), (0.15, 0.37))


def draw_meadow(brush: Brush) -> None:
    brush.ellipse(-0.35, 0.34, 0.55, 0.9, tone="far_dark")
    brush.ellipse(0.3, 0.37, 1.4, 0.9, tone="far")
    brush.box(0, 0.52, 1, 1, tone="ground")
    brush.ellipse(-0.3, 0.47, 0.8, 0.75, tone="ground")
    brush.ellipse(0.25, 0.68, 1.6, 1.5, tone="ground_light")
    for i in range(16):
        x, y = (0.06 + 0.37 * i) % 1.0, 0.57 + 0.027 * i
        brush.line((x - 0.014, y - 0.022), (x, y), (x + 0.014, y - 0.022), width=0.007, tone="ground_dark")
        brush.circle((x + 0.14) % 1.0, y - 0.01, 0.008, tone="ab"[i % 2])


def draw_beach(brush: Brush) -> None:
    brush.box(0, 0.38, 1, 0.56, tone="far")
    for x, y in ((0.05, 0.42), (0.42, 0.44), (0.72, 0.41), (0.24, 0.475), (0.6, 0.48), (0.86, 0.465)):
        brush.line((x, y), (x + 0.13, y), width=0.008, tone="far_dark")
    brush.box(0, 0.56, 1, 1, tone="ground")
    for i in range(5):
        brush.ellipse(0.25 * i - 0.16, 0.50, 0.25 * i + 0.16, 0.58, tone="a")
    for i in range(5):
        brush.ellipse(0.25 * i - 0.16, 0.525, 0.25 * i + 0.16, 0.64, tone="ground_dark")
        brush.ellipse(0.25 * i - 0.19, 0.545, 0.25 * i + 0.19, 0.72, tone="ground")
    brush.ellipse(-0.3, 0.8, 0.75, 1.3, tone="ground_light")
    for i in range(14):
        brush.circle((0.05 + 0.39 * i) % 1.0, 0.65 + 0.025 * i, 0.006, tone="ground_dark")


def draw_forest(brush: Brush) -> None:
    brush.box(0, 0.36, 1, 0.6, tone="far")
    for i in range(9):
        x, top = 0.06 + 0.11 * i, 0.24 + 0.045 * (i * 5 % 3)
        brush.polygon((x, top), (x + 0.075, 0.38), (x - 0.075, 0.38), tone="far")
    brush.box(0, 0.48, 1, 0.6, tone="far_dark")
    for i in range(8):
        x, top = 0.01 + 0.14 * i, 0.33 + 0.035 * (i * 2 % 3)
        brush.polygon((x, top), (x + 0.09, 0.5), (x - 0.09, 0.5), tone="far_dark")
    brush.box(0, 0.54, 1, 1, tone="ground")
    for i in range(5):
        brush.ellipse(0.25 * i - 0.15, 0.51, 0.25 * i + 0.15, 0.60, tone="ground")
    for x, y in ((0.2, 0.65), (0.7, 0.72), (0.25, 0.85), (0.85, 0.92)):
        brush.ellipse(x - 0.17, y - 0.025, x + 0.17, y + 0.025, tone="ground_light")
    for i in range(14):
        x, y = (0.1 + 0.43 * i) % 1.0, 0.6 + 0.028 * i
        brush.ellipse(x - 0.015, y - 0.007, x + 0.015, y + 0.007, tone="ground_dark")


def draw_desert(brush: Brush) -> None:
    brush.polygon((0.08, 0.5), (0.13, 0.3), (0.32, 0.3), (0.38, 0.5), tone="far")
    brush.polygon((0.66, 0.5), (0.7, 0.37), (0.84, 0.37), (0.88, 0.5), tone="far")
    brush.ellipse(-0.5, 0.41, 0.75, 0.9, tone="far_dark")
    brush.ellipse(0.3, 0.44, 1.6, 0.9, tone="ground_dark")
    brush.box(0, 0.6, 1, 1, tone="ground")
    brush.ellipse(-0.2, 0.5, 0.9, 0.8, tone="ground")
    brush.ellipse(0.2, 0.68, 1.8, 1.4, tone="ground_light")
    brush.ellipse(-0.7, 0.82, 0.7, 1.5, tone="ground")
    for x, y in ((0.12, 0.62), (0.4, 0.6), (0.62, 0.78), (0.8, 0.84), (0.1, 0.93), (0.34, 0.95)):
        brush.arc(x - 0.09, y - 0.015, x + 0.09, y + 0.03, 200, 340, width=0.008, tone="ground_dark")


def draw_mountains(brush: Brush) -> None:
    for x, top, half, tone in PEAKS:
        brush.polygon((x, top), (x + half, 0.56), (x - half, 0.56), tone=tone)
        # The cap follows the slopes a third of the way down and ends in teeth.
        fall, side = (0.56 - top) / 3, half / 3
        teeth = [(x + side * k, top + fall * (1 if i % 2 == 0 else 0.7)) for i, k in enumerate((1, 0.5, 0, -0.5, -1))]
        brush.polygon((x, top), *teeth, tone="a")
    brush.box(0, 0.54, 1, 1, tone="ground")
    brush.ellipse(-0.4, 0.48, 0.7, 0.8, tone="ground")
    brush.ellipse(0.3, 0.64, 1.7, 1.4, tone="ground_light")
    brush.ellipse(-0.8, 0.78, 0.6, 1.4, tone="ground_dark")


def draw_street(brush: Brush) -> None:
    x = 0.0
    for i, (width, top) in enumerate(HOUSES):
        brush.box(x, top, x + width, 0.52, tone=("far", "far_dark", "a")[i % 3])
        for row in range(int((0.48 - top) / 0.06)):
            for column in (0.28, 0.72):
                cx, cy = x + column * width, top + 0.045 + 0.06 * row
                brush.box(cx - 0.016, cy - 0.014, cx + 0.016, cy + 0.014, tone="b")
        x += width
    brush.box(0, 0.5, 1, 0.585, tone="ground_light")
    brush.box(0, 0.585, 1, 0.6, tone="c")
    brush.box(0, 0.6, 1, 1, tone="ground")
    for i in range(5):
        brush.box(0.24 * i - 0.06, 0.775, 0.24 * i + 0.07, 0.797, tone="d")


def draw_farm(brush: Brush) -> None:
    brush.ellipse(-0.3, 0.36, 0.7, 0.8, tone="far")
    brush.ellipse(0.4, 0.39, 1.5, 0.8, tone="far_dark")
    brush.box(0, 0.5, 1, 1, tone="ground")
    for i in range(-5, 6):
        top, base = 0.5 + 0.085 * i, 0.5 + 0.30 * i
        brush.polygon((top, 0.5), (top + 0.035, 0.5), (base + 0.13, 1), (base, 1), tone="ground_dark")
    for y in (0.445, 0.485):
        brush.line((0, y), (1, y), width=0.014, tone="a")
    for i in range(9):
        brush.box(0.125 * i - 0.012, 0.415, 0.125 * i + 0.012, 0.52, tone="a")


def draw_park(brush: Brush) -> None:
    for i in range(7):
        brush.circle(0.17 * i, 0.43, 0.105 + 0.02 * (i % 3), tone="far_dark")
    brush.box(0, 0.42, 1, 0.54, tone="far_dark")
    brush.box(0, 0.47, 1, 0.54, tone="far", radius=0.03)
    brush.box(0, 0.52, 1, 1, tone="ground")
    left = ((0.38, 1), (0.3, 0.88), (0.31, 0.76), (0.4, 0.66), (0.52, 0.59), (0.58, 0.52))
    right = ((0.64, 0.52), (0.61, 0.6), (0.55, 0.68), (0.55, 0.76), (0.66, 0.87), (0.86, 1))
    brush.polygon(*left, *right, tone="a")
    brush.ellipse(-0.3, 0.6, 0.22, 0.74, tone="ground_light")
    brush.ellipse(0.74, 0.62, 1.3, 0.78, tone="ground_light")
    brush.ellipse(-0.3, 0.86, 0.24, 1.06, tone="ground_dark")


def draw_garden(brush: Brush) -> None:
    brush.box(0, 0.4, 1, 0.5, tone="far_dark")
    for i in range(14):
        x = 0.074 * i
        brush.polygon((x, 0.53), (x, 0.36), (x + 0.029, 0.32), (x + 0.058, 0.36), (x + 0.058, 0.53), tone="far")
    brush.box(0, 0.415, 1, 0.44, tone="far")
    brush.box(0, 0.52, 1, 1, tone="ground")
    brush.box(0, 0.51, 1, 0.57, tone="a", radius=0.02)
    for i in range(15):
        brush.circle(0.035 + 0.067 * i, 0.505 + 0.025 * (i % 2), 0.02, tone="bcd"[i % 3])
    for i in range(4):
        y = 0.64 + 0.093 * i
        x = 0.5 + 0.07 * (-1) ** i
        brush.ellipse(x - 0.09 - 0.012 * i, y - 0.024, x + 0.09 + 0.012 * i, y + 0.03, tone="ground_light")


def draw_playground(brush: Brush) -> None:
    brush.box(0, 0.46, 1, 0.53, tone="far")
    for i in range(11):
        brush.line((0.1 * i, 0.36), (0.1 * i, 0.53), width=0.014, tone="far_dark")
    for y in (0.37, 0.43):
        brush.line((0, y), (1, y), width=0.012, tone="far_dark")
    brush.box(0, 0.52, 1, 1, tone="ground")
    brush.ellipse(-0.2, 0.57, 0.46, 0.86, tone="a")
    brush.ellipse(0.54, 0.55, 1.2, 0.76, tone="b")
    brush.ellipse(0.34, 0.78, 1.1, 1.12, tone="c")
    brush.ellipse(-0.1, 0.63, 0.34, 0.8, tone="ground")


def draw_market(brush: Brush) -> None:
    brush.box(0, 0.33, 1, 0.53, tone="far_dark")
    for stall in range(3):
        left = 0.02 + 0.335 * stall
        for i in range(6):
            x = left + 0.0485 * i
            tone = "d" if i % 2 else "abc"[stall]
            brush.polygon((x + 0.006, 0.25), (x + 0.0545, 0.25), (x + 0.0485, 0.34), (x, 0.34), tone=tone)
            brush.ellipse(x, 0.32, x + 0.0485, 0.365, tone=tone)
        for x in (left + 0.012, left + 0.27):
            brush.box(x, 0.35, x + 0.01, 0.46, tone="far")
        brush.box(left, 0.43, left + 0.29, 0.53, tone="far")
    brush.box(0, 0.52, 1, 1, tone="ground")
    for row in range(6):
        for i in range(5):
            x, y = 0.24 * i - 0.06 + 0.12 * (row % 2), 0.58 + 0.075 * row
            brush.box(x, y, x + 0.15, y + 0.028, tone="ground_light", radius=0.014)


def draw_harbour(brush: Brush) -> None:
    brush.box(0, 0.37, 1, 0.56, tone="far")
    brush.polygon((0.56, 0.39), (0.6, 0.355), (1, 0.34), (1, 0.39), tone="b")
    for x in (0.10, 0.34):
        for leg in (x, x + 0.07):
            brush.line((leg, 0.19), (leg, 0.37), width=0.014, tone="a")
        brush.line((x, 0.29), (x + 0.07, 0.25), width=0.010, tone="a")
        brush.line((x - 0.07, 0.25), (x + 0.035, 0.17), (x + 0.14, 0.25), width=0.010, tone="a")
        brush.line((x - 0.08, 0.25), (x + 0.15, 0.25), width=0.020, tone="a")
    brush.box(0, 0.352, 0.5, 0.385, tone="a")
    for x, y in ((0.1, 0.43), (0.5, 0.42), (0.8, 0.45), (0.3, 0.475), (0.62, 0.485)):
        brush.line((x, y), (x + 0.12, y), width=0.008, tone="far_dark")
    brush.box(0, 0.51, 1, 1, tone="ground")
    brush.box(0, 0.51, 1, 0.545, tone="c")
    for i, y in enumerate((0.63, 0.74, 0.87)):
        brush.line((0, y), (1, y), width=0.009, tone="ground_dark")
        for k in range(4):
            x = 0.3 * k + 0.15 * (i % 2)
            brush.line((x, y - 0.115), (x, y), width=0.009, tone="ground_dark")
