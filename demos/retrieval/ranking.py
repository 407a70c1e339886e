"""The computations of the retrieval tab: what a query ranks first, for one model, and how ranks compare."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from demos.context import Context, Unavailable
from demos.pieces import table_cell
from demos.retrieval.sums import embed_sum
from demos.selection import BY_SUM, TO_CAPTIONS, TO_PICTURES, Selection
from demos.trained import names_for_files
from longclip.gallery import Gallery, GalleryError
from longclip.retrieval import ROUNDING, rank_all, ranks, reach
from longclip.sentences import split_sentences

if TYPE_CHECKING:
    from longclip.encoder import Encoder

# Points of the curve over sentences kept: a text of more sentences is sampled evenly.
MOST_POINTS = 16


@dataclass(frozen=True)
class Ranking:
    """One model's answer: cosine [n] of each row of the gallery, the rows best first [n], and each row's rank from 1 [n].

    Ties count against, as in the evaluation: rows that score the same all have the worst of the places that they share, and
    `first_ranks` [n] are the best of these. In `order` they stand as in the gallery, and a score that is no number last.
    """

    model: str
    scores: np.ndarray
    order: np.ndarray
    ranks: np.ndarray
    first_ranks: np.ndarray

    @classmethod
    def of_scores(cls, model: str, scores: np.ndarray) -> Ranking:
        against, favourable = rank_all(scores)
        return cls(model, scores, np.argsort(-scores, kind="stable"), against + 1, favourable + 1)

    def place(self, row: int) -> str:
        """A row's rank in words: "3", or "1–8" where it shares eight places."""
        rank, first = int(self.ranks[row]), int(self.first_ranks[row])
        return f"{rank:,}" if rank == first else f"{first:,}–{rank:,}"

    def before(self, row: int) -> np.ndarray:
        """Which rows score as high as a row, or higher: bool [n], itself left out."""
        return reach(self.scores, row)


@dataclass(frozen=True)
class Point:
    """A caption cut after some of its sentences: how many, the tokens a model counts in them, and the right answer's rank."""

    sentences: int
    tokens: int
    rank: int


def rank_gallery(context: Context, selection: Selection, model: str) -> Ranking:
    """Ranks the gallery's pictures by the caption, or its captions by the picture. Raises Unavailable."""
    query, items = _query(context, selection, model), _items(context, selection, model)
    return Ranking.of_scores(model, items @ query)


def right_row(context: Context, selection: Selection) -> int | None:
    """The row of the gallery that answers the query, where that is known."""
    if selection.picture is None or (selection.search == TO_CAPTIONS and selection.upload) or selection.search == BY_SUM:
        return None
    try:
        return context.gallery(selection.gallery).index(selection.picture)
    except (GalleryError, Unavailable):
        return None


def rank_by_sentences(context: Context, selection: Selection, model: str) -> list[Point]:
    """Rank of the right answer against the number of sentences kept of the caption; empty where either is missing.

    When pictures are searched the cut caption is the query. When captions are searched it takes the place of the right
    caption, among all others uncut.
    """
    row = right_row(context, selection)
    ends = _sentence_ends(selection.caption)
    if row is None or not ends or context.spec(model) is None:
        return []
    encoder = context.encoder(model)
    texts = [selection.caption[:end] for _, end in ends]
    embedded, items = encoder.encode_text(texts), _items(context, selection, model)
    if selection.search == TO_PICTURES:
        similarity = embedded @ items.T
    else:
        query = _query(context, selection, model)
        similarity = np.repeat((items @ query)[None], len(texts), axis=0)
        similarity[:, row] = embedded @ query
    places = ranks(similarity, [row] * len(texts), ROUNDING) + 1
    counts = [encoder.tokenize(text).total for text in texts]
    return [Point(kept, tokens, int(rank)) for (kept, _), tokens, rank in zip(ends, counts, places, strict=True)]


def look_alikes(gallery: Gallery, row: int | None) -> frozenset[int]:
    """The other rows with a row's summary: one sentence cannot tell them apart."""
    summary = gallery.short_captions[row] if row is not None else ""
    if not summary:
        return frozenset()
    return frozenset(i for i, other in enumerate(gallery.short_captions) if other == summary and i != row)


def write_csv(gallery: Gallery, rankings: Sequence[Ranking | None], right: int | None) -> str:
    """Both models' ranks and scores of the whole gallery, in the first model's order."""
    known = [ranking for ranking in rankings if ranking is not None]
    text = io.StringIO()
    table = csv.writer(text)
    models = names_for_files(ranking.model for ranking in known)
    names = [f"{column} {models[ranking.model]}" for ranking in known for column in ("rank", "cosine")]
    table.writerow(["id", *names, "right", "family", "caption"])
    for row in known[0].order if known else ():
        values = [v for ranking in known for v in (int(ranking.ranks[row]), f"{ranking.scores[row]:.6f}")]
        words = (gallery.ids[row], gallery.metadata[row].get("family") or "", gallery.captions[row])
        name, family, caption = map(table_cell, words)
        table.writerow([name, *values, int(row == right), family, caption])
    return text.getvalue()


def _query(context: Context, selection: Selection, model: str) -> np.ndarray:
    """The query's embedding [dim]."""
    encoder: Encoder = context.encoder(model)
    if selection.search == BY_SUM:
        return embed_sum(context, selection, model)
    if selection.search == TO_PICTURES:
        return encoder.encode_text([selection.caption])[0]
    if selection.upload:
        return context.embedded("pictures", selection.upload, model)[0]
    row = right_row(context, selection)
    if row is None:
        raise Unavailable("Pick a picture first.")
    return context.embedded("pictures", selection.gallery, model)[row]


def _items(context: Context, selection: Selection, model: str) -> np.ndarray:
    what = "captions" if selection.search == TO_CAPTIONS else "pictures"
    return context.embedded(what, selection.gallery, model)


def _sentence_ends(text: str) -> list[tuple[int, int]]:
    """(sentences kept, character at which the last of them ends), at most `MOST_POINTS`, the whole text always last."""
    ends = [end for _, end in split_sentences(text)]
    picked = np.unique(np.linspace(1, len(ends), min(len(ends), MOST_POINTS)).round().astype(int)) if ends else ()
    return [(int(kept), ends[kept - 1]) for kept in picked]
