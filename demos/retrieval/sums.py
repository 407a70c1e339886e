"""Queries as weighted sums of texts and pictures, such as ``2:a red boat + 0.5:like:000012.webp - snow``.

The names of picture files that the command line takes stand here for the picture that the visitor added, and for no file of
this machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demos.context import Context, Unavailable
from demos.selection import Selection
from longclip.gallery import Gallery
from longclip.index.query import LIKE, PICTURE, Term, embed_query, parse_query

# Terms that are read: each text is one for the model to read.
MOST = 20


@dataclass(frozen=True)
class _Rows:
    """What terms are looked up in: the gallery's pictures by id, and behind them the visitor's own."""

    gallery: Gallery
    vectors: np.ndarray
    own: np.ndarray | None

    def find(self, id: str) -> int:
        return len(self.gallery) if id == "" else self.gallery.index(id)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.own[0] if row == len(self.gallery) else self.vectors[row]


def find_sum_problem(context: Context, selection: Selection) -> str | None:
    """Why a sum cannot be searched with, as a sentence; None where it can."""
    try:
        _read_terms(context, selection)
    except ValueError as error:
        return f"{str(error)[0].upper()}{str(error)[1:]}."
    return None


def has_own_picture(context: Context, selection: Selection) -> bool:
    """Whether a term stands for the picture that the visitor added. Raises ValueError for what is no query."""
    return any(term.kind == PICTURE for term in _read_terms(context, selection))


def embed_sum(context: Context, selection: Selection, model: str) -> np.ndarray:
    """The unit vector [dim] of the selection's query. Raises Unavailable."""
    try:
        terms = _read_terms(context, selection)
        own = None
        if any(term.kind == PICTURE for term in terms):
            own = context.embedded("pictures", selection.upload or "", model)
        rows = _Rows(context.gallery(selection.gallery), context.embedded("pictures", selection.gallery, model), own)
        # The visitor's picture has no id in the gallery.
        terms = [Term(term.weight, LIKE, "") if term.kind == PICTURE else term for term in terms]
        return embed_query(terms, context.encoder(model), rows, rows)
    except ValueError as error:
        raise Unavailable(str(error)) from error


def like(id: str) -> str:
    """The query for more like a picture of the gallery."""
    return f"like:{id}"


def _read_terms(context: Context, selection: Selection) -> list[Term]:
    """The terms of the query. Raises ValueError with a sentence."""
    gallery = context.gallery(selection.gallery)
    alone = selection.caption.strip().removeprefix(like(""))
    if alone in gallery.ids:  # a name may hold signs, and needs no parsing where it stands alone
        return [Term(1.0, LIKE, alone)]
    terms = parse_query(selection.caption)
    if len(terms) > MOST:
        raise ValueError(f"the query has {len(terms)} terms; at most {MOST} are read here")
    for term in terms:
        if term.kind == LIKE:
            gallery.index(term.value)
        elif term.kind == PICTURE and not selection.upload:
            raise ValueError(f"{term.value!r} stands for a picture of your own: add it first, or put the words in quotes")
    return terms
