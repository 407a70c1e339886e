"""The sky of a setting and its weather: the background's tones, sun and moon, clouds, rain, snow and fog.

The time of day sets the colours of the sky and where the sun stands; the weather hides it, greys the colours and adds
marks. The jitter comes from the caller's random stream only.
"""

from __future__ import annotations

import random

from .canvas import Brush
from .palette import RGB, mix, tint

_NAMES = [
    "sky",
    "sky_low",
    "cloud",
    "cloud_dark",
    "light",
    "glow",
    "mark",
    "far",
    "far_dark",
    "ground",
    "ground_dark",
    "ground_light",
    "a",
    "b",
    "c",
    "d",
]
BACKGROUND_TONES: dict[str, int] = {name: index for index, name in enumerate(_NAMES)}
SKY_TONES = _NAMES[:7]

TIMES = ("morning", "noon", "evening", "night")
WEATHERS = ("sunny", "cloudy", "rainy", "snowy", "foggy")

#: How much more the background is tinted than `palette.tint` does by itself.
TINT = {"morning": 1.6, "noon": 1.0, "evening": 1.25, "night": 1.4}

#: Zenith, horizon and the sun's (moon's) own colour.
_SKY: dict[str, tuple[RGB, RGB, RGB]] = {
    "morning": ((176, 208, 228), (255, 229, 172), (255, 210, 84)),
    "noon": ((140, 196, 238), (194, 226, 246), (255, 224, 80)),
    "evening": ((198, 140, 172), (255, 180, 122), (248, 112, 48)),
    "night": ((72, 84, 146), (98, 112, 170), (252, 246, 206)),
}
#: Where the sun stands in the sky's box.
_SUN = {"morning": (0.17, 0.50), "noon": (0.5, 0.24), "evening": (0.83, 0.52), "night": (0.74, 0.30)}

#: What the weather mixes the sky with, and how much of it.
_VEIL: dict[str, tuple[RGB, float]] = {
    "sunny": ((255, 255, 255), 0.0),
    "cloudy": ((196, 204, 214), 0.45),
    "rainy": ((122, 132, 150), 0.58),
    "snowy": ((172, 186, 208), 0.62),
    "foggy": ((222, 225, 228), 0.72),
}
_CLOUD: dict[str, tuple[RGB, RGB]] = {
    "cloudy": ((246, 247, 250), (216, 222, 230)),
    "rainy": ((116, 124, 142), (94, 102, 122)),
    "snowy": ((214, 222, 234), (192, 202, 218)),
    "foggy": ((226, 229, 231), (226, 229, 231)),
}
_MARK: dict[str, RGB] = {"rainy": (92, 126, 178), "snowy": (255, 255, 255), "foggy": (236, 238, 240)}


def sky_tones(time: str, weather: str) -> dict[str, RGB]:
    """The tones of the sky, `SKY_TONES` to RGB."""
    zenith, low, sun = _SKY[time]
    veil, share = _VEIL[weather]
    veil = tint(veil, time, TINT[time])
    cloud, cloud_dark = _CLOUD.get(weather, _CLOUD["cloudy"])
    sky = mix(zenith, veil, share)
    # Snow stays nearly white at night and rain gets lighter than what is behind it, or they would not be seen.
    mark = tint(_MARK.get(weather, veil), time, 0.5 if weather == "snowy" else TINT[time])
    if (time, weather) == ("night", "rainy"):
        mark = (160, 178, 220)
    return {
        "sky": sky,
        "sky_low": mix(low, veil, 0.8 * share),
        "cloud": tint(cloud, time, TINT[time]),
        "cloud_dark": tint(cloud_dark, time, TINT[time]),
        "light": mix(sun, veil, 0.45) if weather == "foggy" else sun,
        "glow": mix(sky, mix(sun, (255, 255, 255), 0.45), 0.40),
        "mark": mark,
    }


def land_tone(name: str, rgb: RGB, time: str, weather: str, indoors: bool) -> RGB:
    """The tone `name` of a setting, `rgb` at a sunny noon, in the light of this time and weather."""
    if indoors:
        rgb = mix(rgb, (110, 120, 140), 0.10) if weather == "rainy" else rgb
    elif weather == "cloudy":
        rgb = mix(rgb, (176, 182, 192), 0.16)
    elif weather == "rainy":
        rgb = mix(rgb, (112, 122, 142), 0.30)
    elif weather == "snowy":
        rgb = mix(rgb, (240, 245, 251), 0.58 if name.startswith("ground") else 0.30)
    elif weather == "foggy":
        rgb = mix(rgb, (222, 225, 228), 0.46)
    return tint(rgb, time, TINT[time])


def draw_sky(brush: Brush, aspect: float, time: str, weather: str, rng: random.Random) -> None:
    """The sky, its light and its clouds. The brush's box is the sky, `aspect` times as wide as high."""
    brush.box(0, 0, 1, 1, tone="sky")
    brush.box(0, 0.66, 1, 1, tone="sky_low")
    for i in range(4):
        x = 0.3 * i + rng.uniform(-0.05, 0.05)
        brush.ellipse(x - 0.22, 0.58, x + 0.22, 0.76, tone="sky_low")
    if time == "night" and weather == "sunny":
        for i in range(12):
            x, y = (i + rng.uniform(0.1, 0.9)) / 12, rng.uniform(0.04, 0.62)
            brush.circle(x, y, rng.choice((0.014, 0.022)) * (1 if aspect > 1.6 else 1.5), tone="light")
    x, y = _SUN[time]
    x, y = x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03)
    if weather not in ("rainy", "snowy"):
        _draw_light(brush, x, y, 0.15 if aspect > 1.6 else 0.19, aspect, time)
    if weather == "cloudy":
        _draw_cloud(brush, x, y + 0.02, 0.62, aspect)
        for side in (x + 0.34, x + 0.66):
            _draw_cloud(brush, (side + rng.uniform(-0.05, 0.05)) % 1.0, rng.uniform(0.16, 0.5), rng.uniform(0.4, 0.56), aspect)
    elif weather in ("rainy", "snowy"):
        for i in range(4):
            _draw_cloud(brush, (i + rng.uniform(0.2, 0.8)) / 4, rng.uniform(0.1, 0.26), rng.uniform(0.56, 0.76), aspect)


def _draw_light(brush: Brush, x: float, y: float, radius: float, aspect: float, time: str) -> None:
    brush.circle(x, y, 1.65 * radius, tone="glow")
    brush.circle(x, y, radius, tone="light")
    if time == "night":
        # A crescent: the moon's other part in the tone of its glow.
        brush.circle(x - 0.5 * radius / aspect, y - 0.2 * radius, 0.82 * radius, tone="glow")


def _draw_cloud(brush: Brush, x: float, y: float, width: float, aspect: float) -> None:
    """A cloud around (x, y); `width` is a share of the sky's height."""
    puffs = ((-0.30, 0.02, 0.17), (-0.06, -0.10, 0.22), (0.20, -0.03, 0.19), (0.38, 0.06, 0.13))
    for shift, tone in ((0.06 * width, "cloud_dark"), (0.0, "cloud")):
        for dx, dy, radius in puffs:
            r = radius * width
            cx, cy = x + dx * width / aspect, y + dy * width + shift
            brush.ellipse(cx - r / aspect, cy - r, cx + r / aspect, cy + r, tone=tone)
        brush.box(x - 0.46 * width / aspect, y, x + 0.5 * width / aspect, y + 0.19 * width + shift, tone=tone, radius=0.09)


def draw_weather(brush: Brush, weather: str, count: int, rng: random.Random) -> None:
    """Rain, snow or fog all over the brush's box: `count` streaks or flakes, a tenth as many bands of fog."""
    if weather == "rainy":
        for x, y in _scatter(count, rng):
            length = (2.0 + rng.random()) * 0.34 / count**0.5
            brush.line((x, y), (x - 0.35 * length, y + length), width=0.055 / count**0.5, tone="mark")
    elif weather == "snowy":
        for x, y in _scatter(count, rng):
            brush.circle(x, y, rng.uniform(0.07, 0.11) / count**0.5, tone="mark")
    elif weather == "foggy":
        bands = count // 10 + 1
        for i in range(bands):
            x, width = rng.uniform(-0.2, 1.2), rng.uniform(0.35, 0.55)
            y, height = (i + 0.3 + 0.4 * rng.random()) / bands, rng.uniform(0.16, 0.22) / bands
            # A pale rim and a paler heart: as soft as flat shapes can be.
            brush.ellipse(x - 1.25 * width, y - 1.5 * height, x + 1.25 * width, y + 1.5 * height, tone="cloud")
            brush.ellipse(x - width, y - 0.8 * height, x + width, y + 0.8 * height, tone="mark")


def _scatter(count: int, rng: random.Random) -> list[tuple[float, float]]:
    """`count` points spread evenly over the unit square: the golden ratio's sequence, shifted and shaken."""
    start = rng.random()
    return [((i + rng.random()) / count, (start + 0.618034 * i + 0.1 * rng.random()) % 1.0) for i in range(count)]
