"""Exact search and recall at k, without ever holding a whole similarity matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt
from typing import NamedTuple

import numpy as np

# Similarities held at once, as a number of float32: 16 million are 64 MB.
_CHUNK = 16_000_000
# Of the best rows: queries and gallery rows that are compared at once. The similarities then stay in the processor's cache.
_QUERIES, _COLUMNS = 1024, 16_384
# Cosines of equal rows may differ by this much, as matrix products round differently from place to place.
ROUNDING = 1e-6


class Answers(NamedTuple):
    """Query ``queries[k]`` is answered by gallery row ``rows[k]``: two arrays of one length, in any order.

    What a million queries with several answers each are best given as: 16 bytes an answer.
    """

    queries: np.ndarray
    rows: np.ndarray


Positives = Sequence[int] | Sequence[Sequence[int]] | np.ndarray | Answers


def ranks(similarity: np.ndarray, positives: Positives | None = None, tolerance: float = 0.0) -> np.ndarray:
    """Rank of the best positive of each query, 0 for the first place: int64 [queries].

    `similarity` is [queries, gallery]. `positives` are the gallery rows that answer each query, one or several per
    query; without them query i is answered by row i. Ties count against: everything that is no positive itself and
    scores as high as the best positive, or less by no more than `tolerance`, stands before it. Raises ValueError for
    shapes that do not fit.
    """
    similarity = np.asarray(similarity)
    if similarity.ndim != 2:
        raise ValueError(f"similarity has shape {similarity.shape}; wanted [queries, gallery]")
    answers = _answers(*similarity.shape, positives)
    best = _best_scores(similarity[answers], answers, len(similarity))
    found = _stand_before(similarity, best - tolerance, answers)
    found[np.isnan(best)] = similarity.shape[1] - 1
    return found


def rank_all(scores: np.ndarray, tolerance: float = ROUNDING) -> tuple[np.ndarray, np.ndarray]:
    """Rank of every row of one query's `scores` [n], 0 for the first place: two int64 [n], (with ties against, with ties for).

    The first is what `ranks` gives for each row as the one positive: the worst of the places that a row shares with those
    that score the same. The second is the best of them; without ties both are equal. Scores that are no numbers come last,
    and count against all others. O(n log n). Raises ValueError for another shape.
    """
    scores = np.asarray(scores)
    if scores.ndim != 1:
        raise ValueError(f"scores have shape {scores.shape}; wanted [gallery]")
    known = ~np.isnan(scores)
    rising = np.sort(scores[known])
    against = len(scores) - 1 - np.searchsorted(rising, scores - tolerance, side="left")
    favourable = len(rising) - np.searchsorted(rising, scores + tolerance, side="right")
    against[~known], favourable[~known] = len(scores) - 1, len(rising)
    return against, favourable


def reach(scores: np.ndarray, row: int, tolerance: float = ROUNDING) -> np.ndarray:
    """Which rows of one query's `scores` [n] count as standing before a `row` of them: bool [n], itself left out."""
    scores = np.asarray(scores)
    found = _reaches(scores, scores[row] - tolerance) | np.isnan(scores[row])
    found[row] = False
    return found


def retrieval_ranks(
    queries: np.ndarray, gallery: np.ndarray, positives: Positives | None = None, chunk: int = _CHUNK
) -> np.ndarray:
    """`ranks` of ``queries @ gallery.T`` for unit rows [q, dim] and [g, dim], at most `chunk` similarities at a time.

    Cosines that differ by less than float32 rounding (1e-6) are ties. Beside the features it needs 16 bytes a positive
    and `chunk` similarities, whatever q and g are.
    """
    queries, gallery = _checked(queries, gallery)
    answers = _answers(len(queries), len(gallery), positives)
    best = _best_scores(cosines(queries, gallery, answers, chunk), answers, len(queries))
    found = np.zeros(len(queries), dtype=np.int64)
    columns = max(1, min(isqrt(chunk), len(gallery)))
    for left in range(0, len(gallery), columns):
        tile = gallery[left : left + columns].astype(np.float32, copy=False)
        within = (answers.rows >= left) & (answers.rows < left + columns)
        here = Answers(answers.queries[within], answers.rows[within] - left)
        for first, part in similarities(queries, tile, chunk):
            last = first + len(part)
            k = slice(*np.searchsorted(here.queries, (first, last)))
            found[first:last] += _stand_before(
                part, best[first:last] - np.float32(ROUNDING), Answers(here.queries[k] - first, here.rows[k])
            )
    found[np.isnan(best)] = len(gallery) - 1
    return found


def recall(ranks: np.ndarray, k: int) -> float:
    """Share of the queries whose best positive is among the first `k`; 0 to 1."""
    if k < 1:
        raise ValueError(f"k is {k}; wanted 1 or more")
    if len(ranks) == 0:
        raise ValueError("recall of no queries is not defined")
    return float(np.mean(np.asarray(ranks) < k))


def top_k(
    queries: np.ndarray, gallery: np.ndarray | Sequence[np.ndarray], k: int, chunk: int = _CHUNK
) -> tuple[np.ndarray, np.ndarray]:
    """The best `k` rows of the gallery for each query: indices int64 and similarities float32, both [queries, k].

    `gallery` is [g, dim], or a list of parts [g_i, dim] that are numbered on and never put together: they may lie in files
    that are mapped into memory. The best comes first; equal ones in the gallery's order. `k` is cut to the size of the
    gallery. A row that is no number never answers; where too few are left, the index is -1 and the similarity minus infinity.
    """
    if k < 1:
        raise ValueError(f"k is {k}; wanted 1 or more")
    parts = [np.asarray(part) for part in (gallery if isinstance(gallery, list) else [gallery])]
    for part in parts:
        queries, _ = _checked(queries, part)
    k = min(k, sum(map(len, parts)))
    indices = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    if not k:
        return indices, scores
    step = max(1, min(_QUERIES, chunk))
    columns = max(1, min(_COLUMNS, chunk // min(step, max(1, len(queries)))))
    tiles = list(_tiles([len(part) for part in parts], columns))
    for first in range(0, len(queries), step):
        asked = queries[first : first + step].astype(np.float32, copy=False)
        best = indices[first : first + step], scores[first : first + step]
        held = np.empty((len(asked), columns), dtype=np.float32)
        start = 0
        for tile in tiles:
            width = 0
            for number, left, right in tile:
                rows = parts[number][left:right].astype(np.float32, copy=False)
                np.matmul(asked, rows.T, out=held[:, width : width + len(rows)])
                width += len(rows)
            _keep_best(*best, held[:, :width], start)
            start += width
    return indices, scores


def _tiles(sizes: Sequence[int], columns: int) -> Iterator[list[tuple[int, int, int]]]:
    """Rows of the parts as (part, first, last), in groups of `columns` rows at most."""
    tile: list[tuple[int, int, int]] = []
    room = columns
    for number, size in enumerate(sizes):
        left = 0
        while left < size:
            right = min(size, left + room)
            tile.append((number, left, right))
            room -= right - left
            left = right
            if not room:
                yield tile
                tile, room = [], columns
    if tile:
        yield tile


def _keep_best(indices: np.ndarray, scores: np.ndarray, found: np.ndarray, start: int) -> None:
    """Merges `found` [queries, columns], of the gallery rows from `start` on, into the best so far [queries, k], in place.

    Few columns reach the k-th best of what came before, so that only these are sorted.
    """
    k = indices.shape[1]
    better = found > scores[:, -1:]
    for row in np.flatnonzero(better.any(axis=1)):
        new = np.flatnonzero(better[row])
        values = found[row, new]
        if len(new) > 4 * k:
            # Everything at the border belongs to the choice, so that equal scores are told apart by their order alone.
            new = new[values >= np.partition(values, -k)[-k]]
            values = found[row, new]
        values = np.concatenate([scores[row], values])
        order = np.argsort(-values, kind="stable")[:k]
        indices[row] = np.concatenate([indices[row], start + new])[order]
        scores[row] = values[order]


def similarities(queries: np.ndarray, gallery: np.ndarray, chunk: int = _CHUNK) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first query, float32 [some queries, gallery]) of ``queries @ gallery.T``, about `chunk` at a time.

    The parts may be written to. Raises ValueError for features that do not fit each other.
    """
    queries, gallery = _checked(queries, gallery)
    gallery = gallery.astype(np.float32, copy=False)
    step = max(1, chunk // max(1, len(gallery)))
    for first in range(0, len(queries), step):
        yield first, queries[first : first + step].astype(np.float32, copy=False) @ gallery.T


def cosines(queries: np.ndarray, gallery: np.ndarray, answers: Answers, chunk: int = _CHUNK) -> np.ndarray:
    """The cosine of each query with each of its answers, float32 in the order of `answers`, summed in 64 bits."""
    found = np.empty(len(answers.rows), dtype=np.float32)
    step = max(1, chunk // max(1, queries.shape[1]))
    for first in range(0, len(found), step):
        k = slice(first, first + step)
        found[k] = np.einsum("ij,ij->i", queries[answers.queries[k]], gallery[answers.rows[k]], dtype=np.float64)
    return found


def _checked(queries: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    queries, gallery = np.asarray(queries), np.asarray(gallery)
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries {queries.shape} and gallery {gallery.shape} do not fit; wanted [q, dim] and [g, dim]")
    return queries, gallery


def _best_scores(scores: np.ndarray, answers: Answers, queries: int) -> np.ndarray:
    """The best of the answers' scores by query; no number where one of them is none."""
    if not queries:
        return scores[:0]
    return np.maximum.reduceat(scores, np.searchsorted(answers.queries, np.arange(queries)))


def _stand_before(scores: np.ndarray, bar: np.ndarray, answers: Answers) -> np.ndarray:
    """How many of each row of `scores` reach its `bar`, the answers left out."""
    before = _reaches(scores, bar[:, None])
    before[answers] = False
    return np.count_nonzero(before, axis=1)


def _reaches(scores: np.ndarray, bar: np.ndarray) -> np.ndarray:
    # A score that is no number is not below the bar either: it counts against.
    return ~(scores < bar)


def _answers(queries: int, gallery: int, positives: Positives | None) -> Answers:
    """Positives of any kind as `Answers` in the order of the queries, after a check that each query has some."""
    if positives is None:
        if queries != gallery:
            raise ValueError(f"{queries} queries and {gallery} gallery rows: say which rows answer which (positives)")
        positives = np.arange(queries)
    if not isinstance(positives, Answers):
        if len(positives) != queries:
            raise ValueError(f"{len(positives)} positives for {queries} queries")
        sizes = [np.size(row) for row in positives]
        even = len(set(sizes)) <= 1
        rows = np.ravel(positives) if even else np.concatenate([np.ravel(row) for row in positives])
        positives = Answers(np.repeat(np.arange(queries), sizes), rows)
    asking, rows = (np.asarray(column, dtype=np.int64) for column in positives)
    if np.any(asking[1:] < asking[:-1]):
        order = np.argsort(asking, kind="stable")
        asking, rows = asking[order], rows[order]
    wrong = np.flatnonzero((rows < 0) | (rows >= gallery))
    if len(wrong):
        query = int(asking[wrong[0]])
        own = rows[asking == query].tolist()
        raise ValueError(f"the positives of query {query}, {own}, are not all rows of a gallery of {gallery}")
    missing = np.setdiff1d(np.arange(queries), asking)
    if len(asking) and not 0 <= asking[0] <= asking[-1] < queries:
        raise ValueError(f"positives are given for queries {asking[0]} to {asking[-1]}; there are {queries}")
    if len(missing):
        raise ValueError(f"query {missing[0]} has no positive")
    return Answers(asking, rows)
