"""The work behind the maps: both models' vectors of a gallery, their maps, and how their neighbourhoods differ.

Each piece is a job of the context: done once for all visitors, kept for a while, stopped when nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from demos.context import Context
from demos.maps.view import OTHER, View, is_captioned
from demos.retrieval.ranking import Ranking
from demos.work import Note
from demos.work import Progress as Step
from longclip.neighbourhoods import modality_gap, neighbourhood_overlap, trustworthiness
from longclip.projection import Map, Projector

if TYPE_CHECKING:
    from longclip.gallery import Gallery

# Plotly and scikit-learn both import it, in circles: where two threads do so at once, Python finds a deadlock.
with suppress(ImportError):
    import narwhals.stable.v1
    import narwhals.stable.v2  # noqa: F401

# Neighbours by which models are compared and maps are judged, and rows that are compared at once.
NEAR, STEP = 15, 2000
# Points that trustworthiness is taken over: what is shown has two digits.
SAMPLE = 1000

Progress = Iterator[Step]


@dataclass(frozen=True)
class Companions:
    """What a model's map does not show: `variance` only of PCA, `gap` only with captions, `trust` only of enough points."""

    trust: float | None
    variance: float | None
    gap: float | None


@dataclass(frozen=True)
class Atlas:
    """Makes and keeps what the maps of a gallery need. What takes long comes in pairs, as in `Context`."""

    context: Context
    projector: Projector

    def gallery(self, view: View) -> Gallery:
        """The gallery that is mapped. Raises Unavailable."""
        return self.context.gallery(view.gallery)

    def sets(self, view: View) -> list[np.ndarray]:
        """Unit rows [points, dim] by each model: the pictures and, where each has one, the captions."""
        return self.context.worked(self._key("vectors", view), lambda note: self._join(view))

    def mapping(self, view: View) -> Progress:
        """Makes the maps: yields (epochs done, all), 0 of all where that cannot be known."""
        yield from self.context.working(*self._maps(view))

    def maps(self, view: View) -> list[Map]:
        """A map by each model. Raises Unavailable."""
        return self.context.worked(*self._maps(view))

    def ready(self, view: View) -> bool:
        """Whether the maps need not be made."""
        # The projector looks at all vectors to know.
        return self.context.has_worked(self._maps(view)[0]) or self.projector.ready(self.sets(view), view.settings)

    def comparing(self, view: View) -> Progress:
        """Compares the models' neighbourhoods: yields (points done, all)."""
        yield from self.context.working(*self._overlap(view))

    def overlap(self, view: View) -> np.ndarray | None:
        """For each point the share of its nearest of its own kind that the models agree on; None for a single picture."""
        return self.context.worked(*self._overlap(view))

    def companions(self, view: View) -> list[Companions]:
        """The figures of each map."""
        key = self._key("companions", view, view.settings.method)
        return self.context.worked(key, lambda note: self._judge(view))

    def counts(self, view: View) -> np.ndarray:
        """Tokens of each caption, as the model on the right counts them: int64 [n]."""

        def count(note: Note) -> np.ndarray:
            tokenizer, found = self.context.encoder(view.right).tokenizer, []
            captions = self.gallery(view).captions
            for number, caption in enumerate(captions):
                found.append(tokenizer(caption).total)
                note(number, len(captions))
            return np.array(found)

        return self.context.worked(self._key("tokens", view), count)

    def _key(self, kind: str, view: View, *more: str) -> tuple[str, ...]:
        return (f"map-{kind}", view.gallery, *view.models, *more)

    def _maps(self, view: View) -> tuple[tuple[str, ...], Callable[[Note], list[Map]]]:
        settings = view.settings
        made_by = f"{settings.metric} {settings.neighbours} {settings.seed}" if settings.method != "pca" else ""
        key = self._key("points", view, made_by, settings.method)
        return key, lambda note: self.projector.project(self.sets(view), settings, note)

    def _overlap(self, view: View) -> tuple[tuple[str, ...], Callable[[Note], np.ndarray | None]]:
        return self._key("overlap", view), lambda note: self._compare(view, note)

    def _join(self, view: View) -> list[np.ndarray]:
        gallery = self.gallery(view)
        found = []
        for name in view.models:
            parts = [self.context.embedded("pictures", view.gallery, name)]
            if is_captioned(gallery):
                parts.append(self.context.embedded("captions", view.gallery, name))
            found.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        return found

    def _compare(self, view: View, note: Note) -> np.ndarray | None:
        left, right = self.sets(view)
        count = len(self.gallery(view))
        if count < 2:
            return None
        near, parts = min(NEAR, count - 1), []
        for kind in range(0, len(left), count):
            for first in range(0, count, STEP):
                note(kind + first, len(left))
                rows = np.arange(first, min(first + STEP, count))
                own = slice(kind, kind + count)
                parts.append(neighbourhood_overlap(left[own], right[own], near, rows))
        return np.concatenate(parts)

    def _judge(self, view: View) -> list[Companions]:
        count, found = len(self.gallery(view)), []
        for drawn in self.maps(view):
            points, near = len(drawn.points), min(NEAR, (len(drawn.points) - 1) // 2)
            trust = trustworthiness(drawn.vectors, drawn.points, near, SAMPLE) if near else None
            gap = modality_gap(drawn.vectors[:count], drawn.vectors[count:]) if points > count else None
            found.append(Companions(trust, drawn.variance, gap))
        return found


@dataclass(frozen=True, eq=False)
class Nearest:
    """What is nearest to something, the best first: points of the maps, their cosines, and their ranks in words."""

    points: np.ndarray
    scores: np.ndarray
    places: list[str]


def nearest(vectors: np.ndarray, count: int, query: np.ndarray, caption: bool, k: int, but: int | None = None) -> Nearest:
    """The `k` nearest pictures (of the first `count` unit rows) or captions (of those behind), without the point `but`."""
    first = count if caption else 0
    rows = np.arange(first, first + count)
    rows = rows[rows != but]
    ranking = Ranking.of_scores("", vectors[rows] @ query)
    best = ranking.order[:k]
    return Nearest(rows[best], ranking.scores[best], [ranking.place(int(row)) for row in best])


def other_kind(view: View, caption: bool) -> bool:
    """Whether a point's neighbours are captions."""
    return caption != (view.among == OTHER)


def first_look(view: View) -> View:
    """The same by PCA, which is there at once."""
    return view.changed(settings=replace(view.settings, method="pca"))
