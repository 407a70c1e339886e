"""Exact search and recall at k, without ever holding a whole similarity matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# Similarities held at once, as a number of float32: 16 million are 64 MB.
_CHUNK = 16_000_000
# Cosines of equal rows may differ by this much, as matrix products round differently from place to place.
ROUNDING = 1e-6

Positives = Sequence[int] | Sequence[Sequence[int]] | np.ndarray


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
    rows = _positive_rows(len(similarity), similarity.shape[1], positives)
    return np.array([_rank(scores, row, tolerance) for scores, row in zip(similarity, rows, strict=True)], dtype=np.int64)


def retrieval_ranks(
    queries: np.ndarray, gallery: np.ndarray, positives: Positives | None = None, chunk: int = _CHUNK
) -> np.ndarray:
    """`ranks` of ``queries @ gallery.T`` for unit rows [q, dim] and [g, dim], at most `chunk` similarities at a time.

    Cosines that differ by less than float32 rounding (1e-6) are ties.
    """
    rows = _positive_rows(len(queries), len(gallery), positives)
    found = np.empty(len(queries), dtype=np.int64)
    for first, part in _similarities(queries, gallery, chunk):
        last = first + len(part)
        found[first:last] = ranks(part, rows[first:last], ROUNDING)
    return found


def recall(ranks: np.ndarray, k: int) -> float:
    """Share of the queries whose best positive is among the first `k`; 0 to 1."""
    if k < 1:
        raise ValueError(f"k is {k}; wanted 1 or more")
    if len(ranks) == 0:
        raise ValueError("recall of no queries is not defined")
    return float(np.mean(np.asarray(ranks) < k))


def top_k(queries: np.ndarray, gallery: np.ndarray, k: int, chunk: int = _CHUNK) -> tuple[np.ndarray, np.ndarray]:
    """The best `k` rows of the gallery for each query: indices int64 and similarities float32, both [queries, k].

    The best comes first; equal ones in the gallery's order. `k` is cut to the size of the gallery.
    """
    if k < 1:
        raise ValueError(f"k is {k}; wanted 1 or more")
    k = min(k, len(gallery))
    indices = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for first, part in _similarities(queries, gallery, chunk):
        rows = slice(first, first + len(part))
        indices[rows] = _best(part, k)
        scores[rows] = np.take_along_axis(part, indices[rows], axis=1)
    return indices, scores


def _best(similarity: np.ndarray, k: int) -> np.ndarray:
    if k == similarity.shape[1]:
        return np.argsort(-similarity, axis=1, kind="stable")
    best = np.empty((len(similarity), k), dtype=np.int64)
    borders = np.partition(similarity, -k, axis=1)[:, -k]
    for row, scores, border in zip(best, similarity, borders, strict=True):
        # Everything at the border belongs to the choice, so that equal scores are told apart by their order alone.
        candidates = np.flatnonzero(scores >= border)
        row[:] = candidates[np.argsort(-scores[candidates], kind="stable")[:k]]
    return best


def _rank(scores: np.ndarray, positives: np.ndarray, tolerance: float) -> int:
    best = scores[positives].max()
    if np.isnan(best):
        return len(scores) - 1
    # A score that is no number is not below the positive's either: it counts against.
    before = ~(scores < best - tolerance)
    return int(before.sum() - before[positives].sum())


def _positive_rows(queries: int, gallery: int, positives: Positives | None) -> list[np.ndarray]:
    if positives is None:
        if queries != gallery:
            raise ValueError(f"{queries} queries and {gallery} gallery rows: say which rows answer which (positives)")
        positives = np.arange(queries)
    if len(positives) != queries:
        raise ValueError(f"{len(positives)} positives for {queries} queries")
    rows = [np.unique(np.atleast_1d(np.asarray(row, dtype=np.int64))) for row in positives]
    for query, row in enumerate(rows):
        if not len(row):
            raise ValueError(f"query {query} has no positive")
        if row[0] < 0 or row[-1] >= gallery:
            raise ValueError(f"the positives of query {query}, {row.tolist()}, are not all rows of a gallery of {gallery}")
    return rows


def _similarities(queries: np.ndarray, gallery: np.ndarray, chunk: int) -> Iterator[tuple[int, np.ndarray]]:
    queries, gallery = np.asarray(queries), np.asarray(gallery)
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries {queries.shape} and gallery {gallery.shape} do not fit; wanted [q, dim] and [g, dim]")
    gallery = gallery.astype(np.float32, copy=False)
    step = max(1, chunk // max(1, len(gallery)))
    for first in range(0, len(queries), step):
        yield first, queries[first : first + step].astype(np.float32, copy=False) @ gallery.T
