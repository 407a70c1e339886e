"""What a map does not show by itself: how far its neighbours are to be trusted, and how the full spaces differ."""

from __future__ import annotations

import numpy as np

from .retrieval import top_k

# Points whose neighbourhoods stand for all, and similarities held at once.
SAMPLE, _CHUNK = 2000, 16_000_000


def neighbours(vectors: np.ndarray, k: int, rows: np.ndarray | None = None) -> np.ndarray:
    """The `k` nearest others by cosine of each unit row of [n, dim], or of some `rows`: int64 [rows, k], the nearest first."""
    if not 0 < k < len(vectors):
        raise ValueError(f"{k} neighbours of {len(vectors)} points; wanted 1 to {len(vectors) - 1}")
    rows = np.arange(len(vectors)) if rows is None else np.asarray(rows)
    found, _ = top_k(vectors[rows], vectors, k + 1)
    # Among copies the point itself may stand anywhere, or not at all; then the last one goes.
    itself = found == rows[:, None]
    itself[~itself.any(axis=1), -1] = True
    return found[~itself].reshape(len(rows), k)


def neighbourhood_overlap(first: np.ndarray, second: np.ndarray, k: int = 15, rows: np.ndarray | None = None) -> np.ndarray:
    """For each item, or some `rows`, the share of its `k` nearest by one model that are so by the other: float64 [n], 0 to 1.

    In the full spaces, unit rows [n, dim_1] and [n, dim_2] of the same items; not in a plane, which shows either only in part.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} vectors; wanted the same items by both models")
    one, other = neighbours(first, k, rows), neighbours(second, k, rows)
    return np.array([len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(one, other, strict=True)]) / k


def trustworthiness(vectors: np.ndarray, points: np.ndarray, k: int = 15, sample: int = SAMPLE, seed: int = 0) -> float:
    """How far near points [n, 2] are near in full space, by cosine: 1 is always, random points give about 0.5.

    Venna and Kaski (2001), T(k), over at most `sample` points drawn with the seed: exact for no more than these. Raises
    ValueError unless k < n / 2.
    """
    from sklearn.neighbors import NearestNeighbors

    n = len(vectors)
    if not 0 < k < n / 2:
        raise ValueError(f"trustworthiness of {k} neighbours needs more than {2 * k} points; there are {n}")
    rows = np.arange(n) if n <= sample else np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
    near = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)[rows]
    excess = 0
    step = max(1, _CHUNK // n)
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        cosines = vectors[part] @ vectors.T
        cosines[np.arange(len(part)), part] = -np.inf
        for number, shown in enumerate(near[first : first + step]):
            ranks = 1 + (cosines[number] > cosines[number, shown][:, None]).sum(axis=1)
            excess += int(np.maximum(ranks - k, 0).sum())
    return 1 - 2 * excess / (len(rows) * k * (2 * n - 3 * k - 1))


def modality_gap(images: np.ndarray, texts: np.ndarray) -> float:
    """Distance between the centres of the pictures' and the captions' unit rows (Liang et al., arXiv 2203.02053): 0 to 2."""
    return float(np.linalg.norm(images.mean(axis=0, dtype=np.float64) - texts.mean(axis=0, dtype=np.float64)))
