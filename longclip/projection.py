"""Embeddings as points in the plane, by several models of the same items: PCA at once, UMAP and t-SNE behind it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from .cache import EmbeddingCache, content_key

METHODS = ("pca", "umap", "aligned-umap", "t-sne")
METRICS = ("cosine", "euclidean", "correlation", "manhattan")
# Fewer points than these have a map by PCA alone.
FEWEST = 5

Progress = Callable[[int, int], None]
"""Called with the epochs that are done and those there are; what it raises stops the work."""


class ProjectionError(ValueError):
    """Points of which there is no such map; the message is one sentence for the user."""


@dataclass(frozen=True)
class Settings:
    """How a map is made. `metric` and `neighbours` (of t-SNE: its perplexity) are of no account to PCA."""

    method: str = "aligned-umap"
    metric: str = "cosine"
    neighbours: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        for what, value, choices in (("method", self.method, METHODS), ("metric", self.metric, METRICS)):
            if value not in choices:
                raise ProjectionError(f"the {what} {value!r} is unknown; there are {', '.join(choices)}")
        if not 2 <= self.neighbours <= 200:
            raise ProjectionError(f"{self.neighbours} neighbours; wanted 2 to 200")


@dataclass(frozen=True)
class Map:
    """Points float32 [n, 2] of vectors [n, dim]. Of PCA: `variance`, the share of all variance that the plane shows."""

    vectors: np.ndarray
    points: np.ndarray
    settings: Settings
    variance: float | None = None
    _plane: _Plane | None = field(default=None, repr=False)

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Where new vectors [m, dim] lie on this map, float32 [m, 2]; nothing is fitted again.

        PCA projects them. On the others they go to the mean of their neighbours' points, weighted by inverse squared
        distance (Shepard's interpolation), so that a copy of a vector lies on its point.
        """
        if self._plane:
            return self._plane.project(vectors)
        from sklearn.neighbors import NearestNeighbors

        k = min(self.settings.neighbours, len(self.vectors))
        search = NearestNeighbors(n_neighbors=k, metric=self.settings.metric, algorithm="brute").fit(self.vectors)
        distances, rows = search.kneighbors(vectors)
        weights = 1 / np.maximum(distances, 1e-6) ** 2
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("mk,mkd->md", weights, self.points[rows]).astype(np.float32)


@dataclass(frozen=True)
class _Plane:
    """The two main axes [dim, 2] of centred vectors, and how the plane was then turned and shifted."""

    mean: np.ndarray
    axes: np.ndarray
    shift: np.ndarray

    def project(self, vectors: np.ndarray) -> np.ndarray:
        return ((vectors - self.mean) @ self.axes + self.shift).astype(np.float32)


class Projector:
    """Makes maps, and keeps them by the content they were made of: in memory, and in a folder if one is given."""

    def __init__(self, folder: Path | None = None, max_bytes: int = 64_000_000) -> None:
        self._folder = folder
        self._points = EmbeddingCache(max_bytes)

    def project(
        self, sets: Sequence[np.ndarray], settings: Settings = Settings(), progress: Progress | None = None
    ) -> list[Map]:
        """A map for each of the sets, which are one model's embeddings each of the same items: float32 [n, dim_i].

        The second and later maps are turned (and mirrored, where that helps) to lie like the first; by "aligned-umap" they
        are made together, with an item's points held near each other. The same sets and settings give the same maps. Raises
        ProjectionError for fewer than `FEWEST` points, or none that differ, by any method but "pca".
        """
        sets = [np.ascontiguousarray(vectors, dtype=np.float32) for vectors in sets]
        if not sets or any(len(vectors) != len(sets[0]) for vectors in sets) or not len(sets[0]):
            raise ProjectionError(
                f"sets of {[len(vectors) for vectors in sets]} vectors; wanted the same items in each, and some"
            )
        if settings.method == "pca":
            return _fit_pca(sets, settings)
        _check(sets, settings)
        key = _key(sets, settings)
        points = self._read(key)
        if points is None:
            points = _FITS[settings.method](sets, settings, progress)
            self._keep(key, points)
        return [Map(vectors, part, settings) for vectors, part in zip(sets, points, strict=True)]

    def ready(self, sets: Sequence[np.ndarray], settings: Settings) -> bool:
        """Whether the maps need not be computed, or take no time."""
        sets = [np.ascontiguousarray(vectors, dtype=np.float32) for vectors in sets]
        return settings.method == "pca" or self._read(_key(sets, settings)) is not None

    def _file(self, key: bytes) -> Path | None:
        return self._folder / f"{key.hex()}.npy" if self._folder else None

    def _read(self, key: bytes) -> np.ndarray | None:
        points, file = self._points.get(key), self._file(key)
        if points is None and file and file.is_file():
            with suppress(ValueError, OSError):  # damaged: it is made again
                points = np.load(file, allow_pickle=False)
                self._points.put(key, points)
        return points

    def _keep(self, key: bytes, points: np.ndarray) -> None:
        self._points.put(key, points)
        if file := self._file(key):
            from .checkpoints.files import part_of

            with part_of(file) as part, part.open("wb") as content:
                np.save(content, points, allow_pickle=False)


def warm_up() -> None:
    """Has UMAP compiled, which takes up to a minute the first time in a process and must not fall to a visitor."""
    vectors = np.random.default_rng(0).standard_normal((2, 32, 4)).astype(np.float32)
    projector = Projector(max_bytes=0)
    for method in ("umap", "aligned-umap"):
        for map in projector.project(list(vectors), Settings(method, neighbours=5)):
            map.place(vectors[0, :1])


def _fit_pca(sets: list[np.ndarray], settings: Settings) -> list[Map]:
    from sklearn.decomposition import PCA

    maps: list[Map] = []
    for vectors in sets:
        dim = vectors.shape[1]
        mean, axes, variance = vectors.mean(axis=0), np.zeros((dim, 2), np.float32), 0.0
        if (vectors != vectors[0]).any():
            fitted = PCA(min(2, dim), svd_solver="covariance_eigh").fit(vectors)
            axes[:, : fitted.n_components_] = fitted.components_.T
            variance = float(fitted.explained_variance_ratio_.sum())
        plane = _Plane(mean, axes, np.zeros(2, np.float32))
        if maps:
            turn, shift = _find_turn(maps[0].points, plane.project(vectors))
            plane = _Plane(mean, axes @ turn, shift)
        maps.append(Map(vectors, plane.project(vectors), settings, variance, plane))
    return maps


def _fit_umap(sets: list[np.ndarray], settings: Settings, progress: Progress | None) -> np.ndarray:
    umap = _import_umap()
    found = []
    with _Epochs(progress, len(sets)):
        for vectors in sets:
            # The map grows out of that of PCA, which is there at once.
            found.append(umap.UMAP(**_umap_options(settings, len(vectors)), init="pca").fit(vectors).embedding_)
    return _turn_all(found)


def _fit_aligned(sets: list[np.ndarray], settings: Settings, progress: Progress | None) -> np.ndarray:
    if len(sets) == 1:
        return _fit_umap(sets, settings, progress)
    same = {row: row for row in range(len(sets[0]))}
    options = _umap_options(settings, len(sets[0]))
    del options["n_jobs"]
    # Each set has a layout of its own first, then all are made together.
    with _Epochs(progress, len(sets) + 1):
        made = _import_umap().AlignedUMAP(**options).fit(sets, relations=[same] * (len(sets) - 1))
    # A point without any neighbour has no place of its own.
    return np.nan_to_num(np.stack([np.asarray(points) for points in made.embeddings_])).astype(np.float32)


def _fit_tsne(sets: list[np.ndarray], settings: Settings, progress: Progress | None) -> np.ndarray:
    from sklearn.manifold import TSNE

    found = []
    for number, vectors in enumerate(sets):
        if progress:
            progress(number, len(sets))
        perplexity = min(float(settings.neighbours), (len(vectors) - 1) / 3)
        made = TSNE(perplexity=perplexity, metric=settings.metric, init="pca", random_state=settings.seed)
        found.append(made.fit_transform(vectors))
    return _turn_all(found)


_FITS = {"umap": _fit_umap, "aligned-umap": _fit_aligned, "t-sne": _fit_tsne}


def _umap_options(settings: Settings, count: int) -> dict[str, Any]:
    neighbours = min(settings.neighbours, count - 1)
    # Aligned maps take their layout's seed from `transform_seed`.
    seeds = {"random_state": settings.seed, "transform_seed": settings.seed}
    return {"n_neighbors": neighbours, "metric": settings.metric, "n_jobs": 1, **seeds}


def _import_umap() -> Any:
    # It says so of every fit with a seed, although one job is what it was asked for.
    warnings.filterwarnings("ignore", "n_jobs value .* overridden", UserWarning, "umap")
    import umap
    from umap import aligned_umap, layouts

    if layouts.tqdm is not _tell_epochs:
        layouts.tqdm = _tell_epochs
        aligned_umap.optimize_layout_aligned_euclidean = _compiled_once(layouts.optimize_layout_aligned_euclidean)
    return umap


class _Epochs:
    """Progress over several layouts of as many epochs each: what UMAP's loop over epochs tells it is handed on.

    Nothing is drawn, and what the listener raises ends the loop.
    """

    def __init__(self, progress: Progress | None, layouts: int) -> None:
        self._progress, self._layouts, self._layout = progress, layouts, -1

    def __enter__(self) -> None:
        self._token = _LISTENER.set(self)

    def __exit__(self, *_: object) -> None:
        _LISTENER.reset(self._token)

    def tell(self, epoch: int, epochs: int) -> None:
        self._layout += epoch == 0
        if self._progress:
            self._progress(self._layout * epochs + epoch, self._layouts * epochs)


_LISTENER: ContextVar[_Epochs | None] = ContextVar("listener", default=None)


def _tell_epochs(epochs: range, **_: Any) -> Iterator[int]:
    """In place of UMAP's progress bar, around its loop over epochs."""
    for epoch in epochs:
        if listener := _LISTENER.get():
            listener.tell(epoch, len(epochs))
        yield epoch
    if listener := _LISTENER.get():
        listener.tell(len(epochs), len(epochs))


def _compiled_once(function: FunctionType) -> FunctionType:
    """The same function, for one that has another compiled by Numba at every call: half a minute each."""
    numba = function.__globals__["numba"]
    once = SimpleNamespace(**vars(numba) | {"njit": cache(numba.njit)})
    return FunctionType(
        function.__code__,
        {**function.__globals__, "numba": once},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


def _turn_all(maps: list[np.ndarray]) -> np.ndarray:
    """Maps [sets, n, 2], all but the first turned to lie like that."""
    turned = [maps[0]]
    for points in maps[1:]:
        turn, shift = _find_turn(maps[0], points)
        turned.append(points @ turn + shift)
    return np.stack(turned).astype(np.float32)


def _find_turn(wanted: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation or reflection [2, 2] and shift [2] that bring points nearest to wanted ones (orthogonal Procrustes)."""
    from scipy.linalg import orthogonal_procrustes

    turn, _ = orthogonal_procrustes(points - points.mean(axis=0), wanted - wanted.mean(axis=0))
    return turn.astype(np.float32), (wanted.mean(axis=0) - points.mean(axis=0) @ turn).astype(np.float32)


def _check(sets: list[np.ndarray], settings: Settings) -> None:
    count = len(sets[0])
    if count < FEWEST:
        raise ProjectionError(f"{settings.method} wants {FEWEST} points or more, and there are {count}: choose pca")
    if any((vectors == vectors[0]).all() for vectors in sets):
        raise ProjectionError(f"all {count:,} points are the same, of which {settings.method} makes no map: choose pca")


def _key(sets: list[np.ndarray], settings: Settings) -> bytes:
    digest = hashlib.blake2b()
    for vectors in sets:
        digest.update(repr(vectors.shape).encode())
        digest.update(vectors)
    made_by = version("scikit-learn" if settings.method == "t-sne" else "umap-learn")
    return content_key("map", f"{asdict(settings)} {made_by}", digest.digest())
