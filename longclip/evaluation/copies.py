"""Pictures of a set that are the same picture in different files: each then counts against the other's captions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..images import open_image

if TYPE_CHECKING:
    from .data import EvaluationSet

# Features of equal pixels differ by rounding; along a direction of unit length by no more than this.
_ROUNDING = 1e-5
_DIRECTIONS = 4
NAMED = 3


def find_copies(images: np.ndarray, pictures: Sequence[Any]) -> list[list[int]]:
    """The numbers of pictures that decode to the very same pixels, together; in their order.

    images: their features [n, dim]. Only pictures whose features are all but equal are opened and compared.
    """
    groups = [np.arange(len(images))]
    for direction in np.random.default_rng(0).normal(size=(_DIRECTIONS, images.shape[1])):
        groups = [part for group in groups for part in _close(group, images[group] @ (direction / np.linalg.norm(direction)))]
    found: dict[str, list[int]] = {}
    for number in sorted(int(number) for group in groups for number in group):
        found.setdefault(_pixels(pictures[number]), []).append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]


def describe_copies(copies: Sequence[Sequence[int]], data: EvaluationSet) -> str:
    """A sentence on how many pictures of a set have a copy, with the names of the first; empty where none has."""
    if not copies:
        return ""
    named = [" = ".join(_name(data.pictures[number], number) for number in numbers[:NAMED]) for numbers in copies[:NAMED]]
    more = ", …" if len(copies) > NAMED or any(len(numbers) > NAMED for numbers in copies) else ""
    count = sum(map(len, copies))
    against = ", which counts against them" if data.long else ""
    return f"{count:,} pictures have equal content with another{against}: {', '.join(named)}{more}"


def _close(numbers: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """The numbers whose values have a neighbour within rounding, neighbours together."""
    order = np.argsort(values, kind="stable")
    parts = np.split(numbers[order], 1 + np.flatnonzero(np.diff(values[order]) > _ROUNDING))
    return [part for part in parts if len(part) > 1]


def _pixels(picture: Any) -> str:
    image = open_image(picture)
    return hashlib.blake2b(image.tobytes(), digest_size=20).hexdigest() + str(image.size)


def _name(picture: Any, number: int) -> str:
    return picture.name if isinstance(picture, Path) else f"picture {number + 1:,}"
