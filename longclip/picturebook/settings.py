"""The settings of the picture book: a pale, calm background for each place, with a wide ground for things to stand on.

Every setting draws its ground and what is far away; the sky is there before it. A room paints its walls round its window.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from . import landscapes, rooms
from .canvas import Box, Brush, Canvas
from .palette import RGB
from .sky import BACKGROUND_TONES, SKY_TONES, TIMES, WEATHERS, draw_sky, draw_weather, land_tone, sky_tones

__all__ = ["BACKGROUND_TONES", "SETTINGS", "TIMES", "WEATHERS", "Setting", "draw_background"]


@dataclass(frozen=True, eq=False)
class Setting:
    """A place: the caption's noun and phrase, how it is drawn, its tones at a sunny noon, and where its sky shows.

    Settings are compared by identity, so that tones can be cached by setting.
    """

    name: str
    place: str
    indoors: bool
    draw: Callable[[Brush], None]
    colours: dict[str, RGB]
    sky: Box


def draw_background(canvas: Canvas, setting: Setting, time: str, weather: str, rng: random.Random) -> list[RGB]:
    """Paint block 0 of the canvas and return its sixteen RGB tones, in the order of `BACKGROUND_TONES`."""
    left, top, right, bottom = setting.sky
    sky = canvas.brush(setting.sky, 0, BACKGROUND_TONES)
    whole = canvas.brush((0.0, 0.0, 1.0, 1.0), 0, BACKGROUND_TONES)
    draw_sky(sky, (right - left) / (bottom - top), time, weather, rng)
    if setting.indoors:
        # Before the walls, which cover what goes past the window.
        draw_weather(sky, weather, 16, rng)
        if weather == "snowy":
            sky.ellipse(-0.3, 0.84, 1.3, 1.3, tone="mark")
    setting.draw(whole)
    if not setting.indoors:
        draw_weather(whole, weather, 56, rng)
    return list(_tones(setting, time, weather))


@cache
def _tones(setting: Setting, time: str, weather: str) -> tuple[RGB, ...]:
    sky = sky_tones(time, weather)
    land = {
        name: land_tone(name, setting.colours.get(name, (0, 0, 0)), time, weather, setting.indoors)
        for name in BACKGROUND_TONES
        if name not in SKY_TONES
    }
    return tuple((sky | land)[name] for name in BACKGROUND_TONES)


def _outdoors(name: str, place: str, draw: Callable[[Brush], None], horizon: float, **colours: RGB) -> Setting:
    return Setting(name, place, False, draw, colours, (0.0, 0.0, 1.0, horizon))


def _indoors(name: str, place: str, draw: Callable[[Brush], None], window: Box, **colours: RGB) -> Setting:
    return Setting(name, place, True, draw, colours, window)


#: Pale on purpose: the things in front have the strong colours.
SETTINGS: tuple[Setting, ...] = (
    _outdoors(
        "meadow",
        "in a meadow",
        landscapes.draw_meadow,
        0.54,
        far=(185, 211, 166),
        far_dark=(166, 198, 156),
        ground=(207, 224, 176),
        ground_dark=(169, 196, 140),
        ground_light=(218, 232, 189),
        a=(243, 231, 168),
        b=(242, 214, 222),
    ),
    _outdoors(
        "beach",
        "on the beach",
        landscapes.draw_beach,
        0.4,
        far=(159, 203, 216),
        far_dark=(196, 224, 230),
        ground=(239, 223, 185),
        ground_dark=(217, 195, 151),
        ground_light=(245, 233, 203),
        a=(246, 250, 248),
    ),
    _outdoors(
        "forest",
        "in a forest",
        landscapes.draw_forest,
        0.5,
        far=(157, 185, 154),
        far_dark=(129, 159, 134),
        ground=(188, 196, 156),
        ground_dark=(157, 168, 128),
        ground_light=(204, 210, 172),
    ),
    _outdoors(
        "desert",
        "in the desert",
        landscapes.draw_desert,
        0.52,
        far=(217, 171, 147),
        far_dark=(228, 195, 160),
        ground=(239, 210, 166),
        ground_dark=(223, 185, 140),
        ground_light=(245, 223, 186),
    ),
    _outdoors(
        "mountains",
        "in the mountains",
        landscapes.draw_mountains,
        0.56,
        far=(166, 178, 198),
        far_dark=(143, 157, 182),
        ground=(223, 231, 238),
        ground_dark=(203, 216, 228),
        ground_light=(235, 241, 245),
        a=(245, 248, 251),
    ),
    _outdoors(
        "city street",
        "on a city street",
        landscapes.draw_street,
        0.52,
        far=(188, 184, 198),
        far_dark=(203, 189, 184),
        ground=(180, 182, 190),
        ground_light=(214, 212, 210),
        a=(178, 192, 200),
        b=(226, 227, 223),
        c=(156, 158, 168),
        d=(220, 220, 216),
    ),
    _outdoors(
        "farm",
        "on a farm",
        landscapes.draw_farm,
        0.5,
        far=(195, 207, 155),
        far_dark=(214, 208, 160),
        ground=(216, 196, 156),
        ground_dark=(196, 171, 128),
        a=(241, 236, 224),
    ),
    _outdoors(
        "park",
        "in a park",
        landscapes.draw_park,
        0.52,
        far=(157, 192, 160),
        far_dark=(180, 208, 176),
        ground=(189, 216, 180),
        ground_dark=(174, 205, 166),
        ground_light=(204, 226, 194),
        a=(238, 227, 204),
    ),
    _outdoors(
        "garden",
        "in a garden",
        landscapes.draw_garden,
        0.52,
        far=(236, 223, 203),
        far_dark=(185, 173, 152),
        ground=(198, 219, 166),
        ground_light=(217, 213, 204),
        a=(179, 156, 132),
        b=(227, 179, 187),
        c=(205, 184, 220),
        d=(239, 224, 168),
    ),
    _outdoors(
        "playground",
        "at a playground",
        landscapes.draw_playground,
        0.5,
        far=(191, 211, 178),
        far_dark=(143, 169, 192),
        ground=(230, 198, 176),
        a=(185, 212, 220),
        b=(236, 224, 174),
        c=(201, 217, 180),
    ),
    _outdoors(
        "market",
        "at a market",
        landscapes.draw_market,
        0.4,
        far=(210, 189, 159),
        far_dark=(168, 150, 132),
        ground=(211, 202, 191),
        ground_light=(222, 215, 206),
        a=(217, 159, 152),
        b=(159, 191, 176),
        c=(163, 180, 207),
        d=(243, 234, 217),
    ),
    _outdoors(
        "harbour",
        "at the harbour",
        landscapes.draw_harbour,
        0.4,
        far=(143, 180, 198),
        far_dark=(182, 210, 220),
        ground=(207, 200, 191),
        ground_dark=(181, 172, 162),
        a=(151, 161, 172),
        b=(169, 185, 168),
        c=(163, 154, 146),
    ),
    _indoors(
        "kitchen",
        "in a kitchen",
        rooms.draw_kitchen,
        rooms.KITCHEN_WINDOW,
        far=(240, 232, 207),
        far_dark=(217, 207, 180),
        ground=(195, 211, 211),
        ground_light=(227, 233, 229),
        a=(169, 198, 191),
        b=(142, 174, 167),
        c=(201, 173, 140),
        d=(250, 247, 238),
    ),
    _indoors(
        "bedroom",
        "in a bedroom",
        rooms.draw_bedroom,
        rooms.BEDROOM_WINDOW,
        far=(221, 211, 230),
        far_dark=(209, 197, 222),
        ground=(220, 195, 160),
        ground_dark=(200, 173, 136),
        a=(230, 201, 204),
        b=(240, 220, 216),
        c=(183, 165, 203),
        d=(248, 244, 242),
    ),
    _indoors(
        "classroom",
        "in a classroom",
        rooms.draw_classroom,
        rooms.CLASSROOM_WINDOW,
        far=(233, 227, 211),
        far_dark=(200, 210, 191),
        ground=(210, 180, 141),
        ground_dark=(189, 157, 118),
        a=(111, 143, 128),
        b=(176, 142, 102),
        c=(223, 232, 222),
        d=(246, 242, 230),
    ),
    _indoors(
        "museum",
        "in a museum",
        rooms.draw_museum,
        rooms.MUSEUM_WINDOW,
        far=(201, 159, 151),
        far_dark=(185, 141, 134),
        ground=(214, 210, 210),
        ground_light=(232, 229, 226),
        a=(236, 228, 214),
        b=(203, 176, 122),
        c=(230, 220, 198),
        d=(241, 234, 220),
    ),
)
