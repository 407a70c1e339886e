"""The ten colours a thing may have, the tones made from them, and how the time of day tints everything."""

from __future__ import annotations

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (214, 44, 44),
    "orange": (245, 138, 31),
    "yellow": (250, 214, 50),
    "green": (46, 150, 66),
    "blue": (42, 92, 204),
    "purple": (132, 62, 178),
    "pink": (247, 142, 186),
    "brown": (128, 78, 42),
    "black": (44, 44, 50),
    "white": (246, 246, 242),
}

#: Tones every thing can use beside its own colour, the same for all things.
FIXED: dict[str, RGB] = {
    "ink": (30, 28, 34),
    "snow": (252, 252, 250),
    "grey": (150, 152, 160),
    "steel": (200, 206, 214),
    "wood": (150, 104, 62),
    "leaf": (70, 138, 64),
    "cream": (244, 222, 180),
    "glass": (176, 218, 238),
    "gold": (236, 190, 60),
    "rose": (226, 106, 110),
    "tan": (206, 160, 106),
    "stone": (112, 114, 124),
}

#: A thing's sixteen tones in the order of their indices: its own four, then the fixed ones.
TONES: tuple[str, ...] = ("main", "pattern", "dark", "light", *FIXED)

_TINTS: dict[str, tuple[RGB, float]] = {
    "morning": ((255, 226, 190), 0.08),
    "noon": ((255, 255, 255), 0.0),
    "evening": ((255, 150, 96), 0.16),
    "night": ((40, 48, 110), 0.30),
}


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """`a` moved towards `b` by `share` (0 gives `a`, 1 gives `b`)."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def tint(rgb: RGB, time: str, strength: float = 1.0) -> RGB:
    """`rgb` in the light of a time of day; `strength` scales the effect (things get less of it than their setting)."""
    towards, share = _TINTS[time]
    return mix(rgb, towards, share * strength)


def thing_tones(colour: str, time: str) -> list[RGB]:
    """The sixteen RGB tones of a thing, in the order of `TONES`."""
    main = COLOURS[colour]
    luminance = 0.299 * main[0] + 0.587 * main[1] + 0.114 * main[2]
    pattern = mix(main, (255, 255, 255), 0.80) if luminance < 150 else mix(main, (60, 40, 50), 0.62)
    dark = mix(main, (0, 0, 0), 0.42) if luminance > 60 else (12, 12, 16)
    light = mix(main, (255, 255, 255), 0.38)
    return [tint(tone, time, 0.6) for tone in (main, pattern, dark, light, *FIXED.values())]
