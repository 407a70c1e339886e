"""Maps as the page draws them: coordinates of 16 bits, and what points can be coloured by, in 8."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from demos.maps.view import is_captioned
from longclip.gallery import Gallery
from longclip.projection import Map

# Classes with a colour of their own; the rest share one.
MOST_CLASSES = 14
# Fields of a gallery's rows that say nothing of what is in a picture.
_NO_CLASSES = {"file_name", "id", "image", "short_caption", "long_caption", "caption", "text", "thumbnail", "family"}
# Values of a field beyond which it is taken for a name of each picture, and characters of one that are shown.
_MOST_VALUES, _SHOWN = 300, 40
_TOP, _BYTE = 65_535, 255


def draw_points(key: str, gallery: Gallery, maps: Sequence[Map], titles: Sequence[str]) -> dict[str, Any]:
    """What the page needs to draw the maps of a gallery: plain values, all maps in one frame.

    Coordinates are little-endian uint16 over the frame ``[x0, x1, y0, y1]``, as base64.
    """
    low = np.min([drawn.points.min(axis=0) for drawn in maps], axis=0).astype(float)
    high = np.max([drawn.points.max(axis=0) for drawn in maps], axis=0).astype(float)
    span = np.maximum(high - low, 1e-6)
    drawn_maps = []
    for drawn, title in zip(maps, titles, strict=True):
        x, y = (((drawn.points - low) / span) * _TOP).round().astype("<u2").T
        drawn_maps.append({"title": title, "x": _pack(x), "y": _pack(y)})
    frame = [float(end) for axis in range(2) for end in (low[axis], low[axis] + span[axis])]
    captions = len(maps[0].points) > len(gallery)
    return {"key": key, "count": len(gallery), "captions": captions, "frame": frame, "maps": drawn_maps}


def find_colourings(gallery: Gallery, overlap: np.ndarray | None, counts: np.ndarray | None) -> list[dict[str, Any]]:
    """What the points can be coloured by, the kind of point always: classes by their names, or a scale.

    A colouring has a value of 8 bits for each point, or for each picture, which its caption shares.
    """
    found = [{"name": "pictures and captions", "labels": ["pictures", "captions"][: 1 + is_captioned(gallery)]}]
    if overlap is not None:
        change = 1 - overlap
        found.append(_scale("change of neighbourhood", change, 0, 1, "the same neighbours", "all others"))
    for name, values in _fields(gallery).items():
        found.append(_classes(name, values))
    if counts is not None and counts.max() > counts.min():
        low, high = int(counts.min()), int(counts.max())
        found.append(_scale("caption length", counts, low, high, f"{low:,} tokens", f"{high:,} tokens"))
    return found


def _fields(gallery: Gallery) -> dict[str, list[str]]:
    """Fields of which several pictures share a value."""
    names = dict.fromkeys(name for row in gallery.metadata for name in row if name not in _NO_CLASSES)
    found = {}
    for name in names:
        values = [row.get(name, "") for row in gallery.metadata]
        if not all(isinstance(value, (str, int)) or value is None for value in values):
            continue
        texts = ["" if value is None else str(value) for value in values]
        if 1 < len(set(texts)) <= min(_MOST_VALUES, len(texts) // 2):
            found[name] = texts
    if "subject" in found and (families := _families(found["subject"])):
        found["subject"] = families
    return found


def _families(subjects: Sequence[str]) -> list[str]:
    """The families of the picture book's kinds, which are few enough for colours; nothing for other subjects."""
    from longclip.picturebook.kinds import FAMILIES

    families = {kind.name: family for family, kinds in FAMILIES.items() for kind in kinds}
    return [families[subject] for subject in subjects] if set(subjects) <= set(families) else []


def _classes(name: str, values: Sequence[str]) -> dict[str, Any]:
    common = [value for value, _ in Counter(values).most_common(MOST_CLASSES)]
    others = set(values) - set(common)
    places = {value: number for number, value in enumerate(sorted(common))}
    labels = [value[:_SHOWN] or "(none)" for value in places]
    if others:
        labels.append(f"{len(others)} others")
    numbers = np.array([places.get(value, len(places)) for value in values], dtype=np.uint8)
    return {"name": name, "labels": labels, "values": _pack(numbers)}


def _scale(name: str, values: np.ndarray, low: float, high: float, least: str, most: str) -> dict[str, Any]:
    parts = np.clip((np.asarray(values, dtype=float) - low) / (high - low), 0, 1)
    return {"name": name, "ends": [least, most], "values": _pack((parts * _BYTE).round().astype(np.uint8))}


def _pack(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
