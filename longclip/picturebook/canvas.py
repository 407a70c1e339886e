"""A picture as one index image: every pixel names the thing it shows and the tone it has there.

Pixel value = 16 * block + tone. Block 0 is the setting, blocks 1 to 15 are the things in drawing order, so the visible
mask of a thing is read off the finished canvas, occlusion included, and the colours are only looked up at the end.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .palette import RGB, TONES

BLOCK = 16
TONE = {name: index for index, name in enumerate(TONES)}
Box = tuple[float, float, float, float]


class Canvas:
    """A square index image of `size` pixels a side, drawn at twice that and reduced, which smooths the edges."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pixels = 2 * size
        self.image = Image.new("L", (self.pixels, self.pixels))
        self.draw = ImageDraw.Draw(self.image)

    def brush(self, box: Box, block: int, tones: dict[str, int] = TONE) -> Brush:
        """A brush for the thing `block` inside `box` (left, top, right, bottom; the picture is the unit square)."""
        return Brush(self, box, block, tones)

    def rgb(self, tones: dict[int, list[RGB]]) -> Image.Image:
        """The picture [size, size] in RGB, from the sixteen tones of each block."""
        palette = np.zeros((16, BLOCK, 3), np.uint8)
        for block, colours in tones.items():
            palette[block, : len(colours)] = colours
        image = self.image.copy()
        image.putpalette(palette.tobytes())
        return image.convert("RGB").reduce(2)

    def mask(self, block: int) -> np.ndarray:
        """Where the thing `block` is seen: bool array [size, size], true where it covers more than half a pixel."""
        seen = np.asarray(self.image) // BLOCK == block
        return seen.reshape(self.size, 2, self.size, 2).sum(axis=(1, 3)) > 2


class Brush:
    """Draws one thing. Coordinates are fractions of its box: (0, 0) top left, (1, 1) bottom right, the ground at y = 1.

    Shapes in the tone "main" get a thin outline in "dark", so that a thing stands out from any setting.
    """

    def __init__(self, canvas: Canvas, box: Box, block: int, tones: dict[str, int]) -> None:
        self._draw = canvas.draw
        self._canvas = canvas
        side = canvas.pixels
        self._left, self._top = box[0] * side, box[1] * side
        self._width, self._height = (box[2] - box[0]) * side, (box[3] - box[1]) * side
        self._base = BLOCK * block
        self._tones = tones
        # Lines scale with the thing, but never vanish: 1 px at the drawing size is half a pixel of the picture.
        self._unit = min(self._width, self._height)
        self._outline = max(1, round(0.022 * self._unit))

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return (self._left + x * self._width, self._top + y * self._height)

    def _frame(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        return (*self._at(min(x0, x1), min(y0, y1)), *self._at(max(x0, x1), max(y0, y1)))

    def _index(self, tone: str) -> int:
        return self._base + self._tones[tone]

    def _edge(self, tone: str, outline: bool | None) -> dict:
        wanted = tone == "main" if outline is None else outline
        if not wanted or "dark" not in self._tones:
            return {}
        return {"outline": self._index("dark"), "width": self._outline}

    def polygon(self, *points: tuple[float, float], tone: str = "main", outline: bool | None = None) -> None:
        """A filled polygon through `points`."""
        self._draw.polygon([self._at(*p) for p in points], fill=self._index(tone), **self._edge(tone, outline))

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, tone: str = "main", outline: bool | None = None) -> None:
        """A filled ellipse inside the rectangle."""
        self._draw.ellipse(self._frame(x0, y0, x1, y1), fill=self._index(tone), **self._edge(tone, outline))

    def circle(self, x: float, y: float, radius: float, tone: str = "main", outline: bool | None = None) -> None:
        """A filled circle, round whatever the box's shape; `radius` is a fraction of the box's shorter side."""
        cx, cy = self._at(x, y)
        r = radius * self._unit
        self._draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=self._index(tone), **self._edge(tone, outline))

    def box(
        self, x0: float, y0: float, x1: float, y1: float, tone: str = "main", radius: float = 0.0, outline: bool | None = None
    ) -> None:
        """A filled rectangle, its corners rounded by `radius` (a fraction of the box's shorter side)."""
        frame = self._frame(x0, y0, x1, y1)
        edge = self._edge(tone, outline)
        # Pillow refuses corners that leave no straight edge between them, which happens to parts a few pixels wide.
        limit = (min(frame[2] - frame[0], frame[3] - frame[1]) - 3) / 2
        if min(radius * self._unit, limit) >= 1:
            self._draw.rounded_rectangle(frame, min(radius * self._unit, limit), fill=self._index(tone), **edge)
        else:
            self._draw.rectangle(frame, fill=self._index(tone), **edge)

    def line(self, *points: tuple[float, float], width: float = 0.04, tone: str = "ink") -> None:
        """A line through `points`, `width` as a fraction of the box's shorter side."""
        pixels = max(1, round(width * self._unit))
        self._draw.line([self._at(*p) for p in points], fill=self._index(tone), width=pixels, joint="curve")

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, start: float, end: float, width: float = 0.04, tone: str = "ink"
    ) -> None:
        """An arc of the ellipse inside the rectangle; degrees, clockwise from three o'clock."""
        pixels = max(1, round(width * self._unit))
        self._draw.arc(self._frame(x0, y0, x1, y1), start, end, fill=self._index(tone), width=pixels)

    def pie(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        start: float,
        end: float,
        tone: str = "main",
        outline: bool | None = None,
    ) -> None:
        """A filled slice of the ellipse inside the rectangle; degrees, clockwise from three o'clock."""
        self._draw.pieslice(self._frame(x0, y0, x1, y1), start, end, fill=self._index(tone), **self._edge(tone, outline))

    def pattern(self, name: str) -> None:
        """Lay a pattern over what has been drawn in "main": `plain`, `striped` or `spotted`.

        Its period is a share of the picture, not of the thing, so it can be seen on small things too.
        """
        if name == "plain":
            return
        side = self._canvas.pixels
        left, top = max(0, int(self._left) - 2), max(0, int(self._top) - 2)
        right, bottom = min(side, int(self._left + self._width) + 3), min(side, int(self._top + self._height) + 3)
        if right <= left or bottom <= top:
            return
        region = np.array(self._canvas.image.crop((left, top, right, bottom)))
        y, x = np.mgrid[0 : bottom - top, 0 : right - left] / (side / 128)
        if name == "striped":
            texture = (x + y) % 5.6 < 2.5
        elif name == "spotted":
            row = y // 4.4
            texture = ((x + 2.6 * (row % 2)) % 5.2 - 2.6) ** 2 + (y % 4.4 - 2.2) ** 2 < 1.75**2
        else:
            raise ValueError(f"pattern {name!r} is unknown; there are plain, striped and spotted")
        region[(region == self._index("main")) & texture] = self._index("pattern")
        self._canvas.image.paste(Image.fromarray(region), (left, top))
