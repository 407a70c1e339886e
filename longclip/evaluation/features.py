"""The features of a set by an encoder, each computed once however many measures ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..data.pictures import Skips
from ..retrieval import Answers, retrieval_ranks
from ..textfiles import DataError
from .data import EvaluationSet

if TYPE_CHECKING:
    from ..encoder import Encoder

# Pictures that are held at once, as their files' bytes.
_CHUNK = 1024


@dataclass(frozen=True)
class Group:
    """Pictures and captions that are compared with each other: rows of either, and for each caption, which of these
    pictures it is of."""

    pictures: np.ndarray | slice
    captions: np.ndarray | slice
    owners: np.ndarray


@dataclass(eq=False)
class Features:
    """An encoder and a set, with their features: float32 [n, dim], rows of unit length.

    batch_size: how many pictures or texts go through the model at a time; the encoder's own choice without it. broken: the
    largest share of pictures that may be unreadable; see `read_features`.
    """

    encoder: Encoder
    data: EvaluationSet
    batch_size: int | None = None
    broken: float = 0.0

    @cached_property
    def images(self) -> np.ndarray:
        """Of the pictures."""
        return self.of_pictures(self.data.pictures)

    @cached_property
    def long(self) -> np.ndarray:
        """Of the long captions."""
        return self.of_texts(self.data.long)

    def of_pictures(self, pictures: Sequence) -> np.ndarray:
        """Of any pictures; as many are read at a time as fit in memory. Raises ImageError for one that cannot be read."""
        parts = [range(len(pictures))[first : first + _CHUNK] for first in range(0, len(pictures), _CHUNK)]
        return np.concatenate([self.encoder.encode_image([pictures[i] for i in part], **self._options) for part in parts])

    def of_readable(self, pictures: Sequence) -> tuple[np.ndarray, np.ndarray, Skips]:
        """Of the pictures that can be read: which these are, their features, and an account of the others.

        Raises DataError where more than the share `broken` cannot be read, naming the first.
        """
        skips = Skips(self.broken, least=len(pictures) + 1)
        parts = []
        for first in range(0, len(pictures), _CHUNK):
            numbers = range(len(pictures))[first : first + _CHUNK]
            errors: dict[int, str] = {}
            contents = []
            for number in numbers:
                try:
                    contents.append(pictures[number])
                except (DataError, OSError) as error:
                    errors[number] = str(error)
                    contents.append(b"")  # refused by the encoder too, so that the row stays

            def note(place: int, error: Exception, first: int = first, errors: dict[int, str] = errors) -> None:
                errors.setdefault(first + place, str(error))

            rows = self.encoder.encode_image(contents, refuse=note, **self._options)
            for place in np.flatnonzero(np.isnan(rows[:, 0])).tolist():
                errors.setdefault(first + place, f"picture {first + place + 1:,} is a copy of one that cannot be read")
            parts.append(rows)
            skips.add(numbers, errors)
        skips.finish()
        rows = np.concatenate(parts)
        readable = np.flatnonzero(~np.isnan(rows[:, 0]))
        if not len(readable):
            raise DataError(f"none of the {len(pictures):,} pictures can be read: {skips.first[0]}")
        return readable, rows[readable], skips

    def of_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Of any texts."""
        return self.encoder.encode_text(texts, **self._options)

    @property
    def _options(self) -> dict[str, int]:
        return {} if self.batch_size is None else {"batch_size": self.batch_size}

    @cached_property
    def owners(self) -> np.ndarray:
        """The picture of each long caption, int64 [captions]."""
        return np.array(self.data.owners or range(len(self.data.long)), dtype=np.int64)

    @cached_property
    def groups(self) -> list[Group]:
        """The families of the set, or the whole of it."""
        names = self.data.families
        if not names:
            return [Group(slice(None), slice(None), self.owners)]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        family = np.array([numbers[name] for name in names])
        groups = []
        for number in numbers.values():
            pictures = np.flatnonzero(family == number)
            captions = np.flatnonzero(family[self.owners] == number)
            groups.append(Group(pictures, captions, np.searchsorted(pictures, self.owners[captions])))
        return groups

    def ranks_of_pictures(self, texts: np.ndarray) -> np.ndarray:
        """For the features of a text in place of each caption: the rank of its picture within the group, from 0."""
        found = [retrieval_ranks(texts[g.captions], self.images[g.pictures], g.owners) for g in self.groups]
        return np.concatenate(found)

    def ranks_of_texts(self, texts: np.ndarray) -> np.ndarray:
        """For the features of a text in place of each caption: the rank of the best of each picture's own, from 0."""
        found = []
        for g in self.groups:
            answers = Answers(g.owners, np.arange(len(g.owners)))
            found.append(retrieval_ranks(self.images[g.pictures], texts[g.captions], answers))
        return np.concatenate(found)


def read_features(encoder: Encoder, data: EvaluationSet, batch_size: int | None = None, broken: float = 0.0) -> Features:
    """The features of a set, those of its pictures computed; without the pictures that cannot be read, and their captions.

    broken: the largest share of them that is put up with; with 0 the first one raises ImageError, else too many DataError.
    """
    features = Features(encoder, data, batch_size, broken)
    if not broken:
        features.images  # noqa: B018
        return features
    readable, images, skips = features.of_readable(data.pictures)
    if skips.broken:
        kept = replace(data.take(readable.tolist()), notes=(*data.notes, skips.report()))
        features = Features(encoder, kept, batch_size, broken)
    features.images = images
    return features
