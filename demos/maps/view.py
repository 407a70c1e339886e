"""What a visitor's maps show, and its link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from demos.selection import LONGEST_IN_ADDRESS, PICTURE_BOOK, is_shared
from longclip.gallery import Gallery
from longclip.projection import METHODS, METRICS, ProjectionError, Settings

# Whose neighbours a point has: of its own kind, or of the other (a picture's captions, a caption's pictures).
SAME, OTHER = "same", "other"
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class View:
    """Two models, a gallery, how it is mapped, and what is marked on the maps.

    `point` is a row of the maps' points: the pictures, then their captions. `caption` and `upload` (a key of
    `demos.context.Context`) are what was placed.
    """

    left: str = "picturebook-clip"
    right: str = "picturebook-longclip"
    gallery: str = PICTURE_BOOK
    settings: Settings = field(default_factory=Settings)
    point: int | None = None
    among: str = SAME
    caption: str = ""
    upload: str | None = None

    @property
    def models(self) -> tuple[str, str]:
        return self.left, self.right

    def changed(self, **fields: object) -> View:
        """The view with other values for some fields."""
        return replace(self, **fields)  # type: ignore[arg-type]

    def address(self, point: str = "") -> str:
        """The query part of a link; `point` is the name of what is clicked. What is the visitor's own stays out."""
        fields = {side: name for side, name in (("left", self.left), ("right", self.right)) if is_shared(name)}
        fields |= {"method": self.settings.method, "metric": self.settings.metric}
        fields |= {"near": str(self.settings.neighbours), "seed": str(self.settings.seed)}
        if self.gallery == PICTURE_BOOK and point:
            fields |= {"point": point, "among": self.among}
        if 0 < len(self.caption) <= LONGEST_IN_ADDRESS:
            fields["place"] = self.caption
        return "?" + urlencode(fields, errors="replace")

    @classmethod
    def from_address(cls, query: Mapping[str, str], models: tuple[str, ...]) -> View:
        """The view of a link but for its point. What is missing, unknown or too long is as in a fresh one."""
        fresh, place = cls(), query.get("place", "")
        left, right = (query.get(side, "") for side in ("left", "right"))
        return cls(
            left=left if left in models else fresh.left,
            right=right if right in models else fresh.right,
            settings=settings_of(*map(query.get, ("method", "metric", "near", "seed"))),
            among=OTHER if query.get("among") == OTHER else SAME,
            caption=place if len(place) <= LONGEST_IN_ADDRESS else "",
        )


def settings_of(method: object, metric: object, neighbours: object, seed: object) -> Settings:
    """Settings of values of any kind; what is none of theirs is as in fresh ones."""
    fresh = Settings()
    try:
        return Settings(
            method if method in METHODS else fresh.method,
            metric if metric in METRICS else fresh.metric,
            int(neighbours) if neighbours else fresh.neighbours,
            max(0, min(int(seed or 0), LARGEST_SEED)),
        )
    except (ProjectionError, ValueError, TypeError, OverflowError):
        return fresh


def is_captioned(gallery: Gallery) -> bool:
    """Whether each picture has a caption: only then captions are mapped."""
    return len(gallery) > 0 and all(gallery.captions)


def split_point(gallery: Gallery, point: int) -> tuple[bool, int]:
    """Whether a point is a caption, and its row of the gallery."""
    return point >= len(gallery), point % len(gallery)


def point_name(gallery: Gallery, point: int) -> str:
    """A point in a link: the id of its picture, and whether the picture or its caption is meant."""
    caption, row = split_point(gallery, point)
    return f"{'caption' if caption else 'picture'}:{gallery.ids[row]}"


def find_point(gallery: Gallery, name: str) -> int | None:
    """The point of such a name; None for one that is not there."""
    kind, _, id = name.partition(":")
    if id not in gallery.ids or (kind == "caption" and not is_captioned(gallery)):
        return None
    return gallery.ids.index(id) + (len(gallery) if kind == "caption" else 0)
