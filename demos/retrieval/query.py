"""From a visitor's form to what is searched: the selection settled, and the sentence that says what is missing."""

from __future__ import annotations

import re

from demos.context import Context, Unavailable
from demos.retrieval.ranking import right_row
from demos.retrieval.sums import find_sum_problem
from demos.selection import BY_SUM, PICTURE_BOOK, TO_CAPTIONS, TO_PICTURES, Selection
from longclip.gallery import Gallery

# The choice of gallery that stands for the visitor's own pictures.
MINE = "mine"
# Share of a caption's words that must occur in the picture's own caption for the picture to stay the right answer.
ALIKE = 0.8
_WORD = re.compile(r"\w+")


def settle(
    context: Context, selection: Selection, caption: str | None, left: str | None, right: str | None, search: str, choice: str
) -> Selection:
    """The selection with what the form says, and the right answer where the caption tells it.

    That is the picture whose caption it is to the letter; else the one chosen before, while the caption still resembles its.
    """
    own = choice == MINE and search != TO_CAPTIONS
    gallery = (selection.own or "") if own else PICTURE_BOOK
    left, right = ((name or "").strip() for name in (left, right))
    settled = selection.changed(left=left, right=right, search=search, caption=caption or "", gallery=gallery)
    if search == BY_SUM:
        return settled.changed(picture=None)
    if search == TO_CAPTIONS or own:
        return settled
    book = context.picture_book()
    found = _row_of_caption(book, settled.caption)
    if found is None and settled.picture in book.ids:
        row = book.index(settled.picture)
        found = row if _is_alike(settled.caption, book.captions[row]) else None
    return settled.changed(picture=None if found is None else book.ids[found])


def find_problem(context: Context, selection: Selection) -> str | None:
    """Why there is nothing to search, as a sentence; None where there is."""
    longest = context.longest_caption
    try:
        if selection.search != TO_CAPTIONS and not selection.caption.strip():
            return "Write a caption first, or start from one of the examples."
        if len(selection.caption) > longest:
            return f"The caption has {len(selection.caption):,} characters; at most {longest:,} are read here."
        if not selection.gallery:
            return "Add some pictures of your own first."
        context.gallery(selection.gallery)
        if selection.search != TO_PICTURES and selection.upload:
            context.gallery(selection.upload)
        if selection.search == BY_SUM:
            return find_sum_problem(context, selection)
        if selection.search == TO_CAPTIONS and selection.upload:
            return None
        if selection.search == TO_CAPTIONS and right_row(context, selection) is None:
            return "Pick a picture first, or add one of your own."
    except Unavailable as error:
        return str(error)
    return None


def _row_of_caption(gallery: Gallery, caption: str) -> int | None:
    """The row whose caption this is to the letter, or whose summary it is where no other shares that."""
    wanted = " ".join(caption.split())
    if wanted in gallery.captions:
        return gallery.captions.index(wanted)
    if gallery.short_captions.count(wanted) == 1:
        return gallery.short_captions.index(wanted)
    return None


def _is_alike(caption: str, own: str) -> bool:
    words, known = set(_WORD.findall(caption.lower())), set(_WORD.findall(own.lower()))
    return bool(words) and len(words & known) >= ALIKE * len(words)
