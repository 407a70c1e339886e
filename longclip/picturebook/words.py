"""Every word the picture book can write."""

from __future__ import annotations

from . import wording
from .kinds import KINDS
from .pages import draw_page
from .palette import COLOURS
from .scene import SPLITS
from .settings import SETTINGS

PAGES = 1500  # of each split; 300 already bring every word of the templates


def all_texts() -> list[str]:
    """Texts that hold every word of the world at least once, for making its vocabulary."""
    names = [word for kind in KINDS.values() for word in (kind.name, kind.plural)]
    listed = [*names, *COLOURS, *(setting.place for setting in SETTINGS)]
    listed += [
        text for table in (wording.TIME_SENTENCES, wording.WEATHER_SENTENCES) for texts in table.values() for text in texts
    ]
    return listed + training_texts("train") + [t for split in SPLITS[1:] for t in training_texts(split, 200)]


def training_texts(split: str = "train", pages: int = PAGES) -> list[str]:
    """Short and long captions of the first pages of a split."""
    return [
        text for index in range(pages) for page in [draw_page(split, 0, index)] for text in (page.short.text, page.long.text)
    ]
