"""Where a model stops reading: the score by how much of a caption is kept, and by the position of what is taken away.

Nothing is assumed of positions: every beginning of the caption is encoded, and every token taken away in turn. A beginning
shares all but its end token with the caption, so that all of them together cost little more than the caption itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..encoder import Progress
from ..retrieval import retrieval_ranks
from .match import Match
from .removal import REMOVAL, Variant, filler_id

BY = ("tokens", "words", "sentences")
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class LengthCurve:
    """A caption cut behind each of its words, from nothing to all that is read: arrays [cuts], lowest first.

    ends: characters that are kept. tokens: start and end included, as a context length counts. words: marks not counted.
    sentences: those that are begun. scores: of what is kept. ranks: of the caption's picture among others, from 1, ties
    counting against, as `longclip.retrieval` ranks.
    """

    ends: np.ndarray
    tokens: np.ndarray
    words: np.ndarray
    sentences: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray | None = None

    def at(self, by: str, places: Sequence[int]) -> np.ndarray:
        """The scores of the longest beginnings with at most so many tokens, words or sentences: [places].

        Raises ValueError for another unit than these.
        """
        return self.scores[self._rows(by, places)]

    def ranks_at(self, by: str, places: Sequence[int]) -> np.ndarray:
        """The ranks, as `at` takes the scores. Raises ValueError where there are none."""
        if self.ranks is None:
            raise ValueError("this curve has no ranks: it was taken without other pictures")
        return self.ranks[self._rows(by, places)]

    def _rows(self, by: str, places: Sequence[int]) -> np.ndarray:
        if by not in BY:
            raise ValueError(f"a caption is not cut by {by!r}; there are {', '.join(BY)}")
        return np.maximum(np.searchsorted(getattr(self, by), places, side="right") - 1, 0)


@dataclass(frozen=True, eq=False)
class Band:
    """A mean over captions and where it lies with 95 % confidence, by place: arrays [places]. counts: captions there."""

    places: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray


def length_curve(
    match: Match, pictures: np.ndarray | None = None, own: int = 0, progress: Progress | None = None
) -> LengthCurve:
    """The scores of all beginnings of a caption that end with a word.

    pictures: features [n, dim] of a gallery, of which picture `own` is the caption's; then there are ranks too.
    """
    units = [unit for unit in match.units() if unit.seen]
    sentence_starts = np.array([unit.start for unit in match.units("sentences")])
    ends = np.array([0, *(unit.read_end for unit in units)])
    cuts = [1, *(unit.last for unit in units)]
    ids = match.caption.ids
    features = match.features([Variant((*ids[:cut], ids[-1]), tuple(range(cut + 1))) for cut in cuts], progress)
    scores = features.astype(np.float64) @ match.direction.double().numpy()
    ranks = None
    if pictures is not None:
        ranks = retrieval_ranks(features, pictures, [own] * len(features)) + 1
    return LengthCurve(
        ends,
        np.array(cuts) + 1,
        np.cumsum([0, *(not unit.mark for unit in units)]),
        np.searchsorted(sentence_starts, ends),
        scores,
        ranks,
    )


def position_changes(match: Match, removal: str = REMOVAL, progress: Progress | None = None) -> np.ndarray:
    """By how much the score changes when the token at a position is taken away, whatever its sign: float64 [length].

    Positions count from the start token; it and the end token stay, and have NaN.
    """
    filler = filler_id(match.encoder.tokenizer) if removal == "replace" else 0
    places = range(1, len(match.tokens) - 1)
    variants = [match.caption.without([place], removal, filler) for place in places]
    changes = np.full(len(match.tokens), np.nan)
    if variants:
        score, *others = match.scores([match.caption, *variants], progress)
        changes[1:-1] = np.abs(score - np.array(others))
    return changes


def average_curves(curves: Sequence[LengthCurve], by: str, places: Sequence[int], seed: int = 0) -> Band:
    """The mean score of captions of which at most so much is kept; a shorter caption counts with all it has."""
    return average(np.array([curve.at(by, places) for curve in curves]), places, seed)


def average_changes(changes: Sequence[np.ndarray], seed: int = 0) -> Band:
    """The mean of `position_changes` of many captions, at each position over those that have a token there."""
    rows = np.full((len(changes), max(map(len, changes))), np.nan)
    for row, values in zip(rows, changes, strict=True):
        row[: len(values)] = values
    there = np.flatnonzero(~np.isnan(rows).all(0))
    return average(rows[:, there], there, seed)


def average(rows: np.ndarray, places: Sequence[int], seed: int = 0, resamples: int = RESAMPLES) -> Band:
    """The mean of each column, NaN left out, with its band by bootstrap: captions drawn anew, with replacement.

    rows: [captions, places]. Raises ValueError where there is no caption.
    """
    if not len(rows):
        raise ValueError("there are no captions to average over; wanted at least one")
    known = ~np.isnan(rows)
    filled, counts = np.where(known, rows, 0.0), known.sum(0)
    drawn = np.random.default_rng(seed).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), resamples)
    weights = drawn @ known
    # A place that none of the captions drawn reaches says nothing in that draw.
    means = np.where(weights > 0, drawn @ filled / np.maximum(weights, 1), np.nan)
    low, high = np.full((2, rows.shape[1]), np.nan)
    there = counts > 0
    low[there], high[there] = np.nanquantile(means[:, there], (0.025, 0.975), axis=0)
    return Band(np.asarray(places), filled.sum(0) / np.maximum(counts, 1), low, high, counts)
