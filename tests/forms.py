"""What a visitor's form holds, and what a search shows: shared by the tests of the app."""

from __future__ import annotations

from demos.retrieval.searches import Searches
from demos.selection import PICTURE_BOOK, TO_PICTURES, Selection

PAIR = ("picturebook-clip", "picturebook-longclip")


def form(
    caption: str = "",
    search: str = TO_PICTURES,
    choice: str = PICTURE_BOOK,
    selection: Selection | None = None,
    models: tuple[str, str] = PAIR,
) -> tuple:
    return selection or Selection(), caption, *models, search, choice


def found(searches: Searches, *form) -> dict:
    """The last values of a search, by name."""
    names = ("selection", "answer", "note", "left_text", "right_text", "left", "right", "stop")
    return dict(zip(names, list(searches.search(*form))[-1], strict=True))
