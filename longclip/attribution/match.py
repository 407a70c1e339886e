"""A caption against a picture: the score that is attributed, of the caption and of its variants.

The score is the cosine. What a model multiplies it with before a softmax (`Encoder.logit_scale`) is a constant and left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..encoder import Encoder, Progress
from ..images import Picture
from .prefix import variant_features
from .removal import FILLER, REMOVAL, Variant, filler_id, whole
from .units import Unit, split_units


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each unit of a caption adds to its score, by one method.

    values: float64, one a unit; 0 for those that the model does not read. score: of the caption as it is. base: with all
    units taken away in the method's own manner; None where the method has no such thing. gap: the sum of the values less
    (score - base), for methods whose values add up to that. errors: standard errors of the values, where they are estimates.
    effects: float32 [units that are read, dim], what the features lose with each, for a method that takes them away singly.
    passes: texts that went through the model, a gradient counting as one. seconds: of the wall clock.
    """

    method: str
    level: str
    removal: str | None
    text: str
    units: tuple[Unit, ...]
    values: np.ndarray
    score: float
    passes: int
    seconds: float
    base: float | None = None
    gap: float | None = None
    errors: np.ndarray | None = None
    effects: np.ndarray | None = None

    @property
    def seen(self) -> np.ndarray:
        """The numbers of the units that the model reads."""
        return np.array([number for number, unit in enumerate(self.units) if unit.seen], dtype=np.int64)


class Match:
    """A caption and a direction in the space of features by an encoder; the score of a text is its cosine with the direction.

    direction: [dim]; the features of a picture, so that the score is the cosine of caption and picture. The difference of two
    pictures' features makes it by how much the text fits the first better; it is taken as it is, and never normalised.
    """

    def __init__(self, encoder: Encoder, text: str, direction: np.ndarray) -> None:
        self.encoder = encoder
        self.tokens = encoder.tokenize(text)
        self.direction = torch.as_tensor(np.asarray(direction, dtype=np.float32))
        if self.direction.shape != (encoder.dim,):
            raise ValueError(f"the direction has shape {list(self.direction.shape)}, wanted [{encoder.dim}], as features have")
        self.caption = whole(self.tokens)
        self.passes = 0

    @classmethod
    def of_picture(cls, encoder: Encoder, text: str, picture: Picture) -> Match:
        """The match with a picture, which is encoded once. Raises ImageError for one that is refused."""
        return cls(encoder, text, encoder.encode_image([picture])[0])

    @property
    def text(self) -> str:
        """The caption as it was typed."""
        return self.tokens.text

    def units(self, level: str = "words") -> tuple[Unit, ...]:
        """The caption's units; see `split_units`."""
        return split_units(self.tokens, level)

    @cached_property
    def score(self) -> float:
        """Of the caption as it is."""
        return float(self.scores([self.caption])[0])

    def without(self, units: Iterable[Unit], removal: str = REMOVAL, filler: str = FILLER) -> Variant:
        """The caption with these units taken away; see `longclip.attribution.removal`."""
        written = filler_id(self.encoder.tokenizer, filler) if removal == "replace" else 0
        return self.caption.without((place for unit in units for place in unit.tokens), removal, written)

    def features(self, variants: Sequence[Variant], progress: Progress | None = None) -> np.ndarray:
        """Unit-length features of variants of the caption, float32 [n, dim]."""
        features, computed = variant_features(self.encoder, self.caption, variants, progress)
        self.passes += computed
        return features.numpy()

    def scores(self, variants: Sequence[Variant], progress: Progress | None = None) -> np.ndarray:
        """The scores of variants of the caption, float64 [n]."""
        return self.features(variants, progress).astype(np.float64) @ self.direction.double().numpy()

    def begin(self, method: str, level: str, removal: str | None = None) -> Callable[..., Attribution]:
        """Start the clock. What comes back takes the values, and what else is known, and makes the attribution of them."""
        units, began, passes = self.units(level), time.perf_counter(), self.passes

        def finish(values: np.ndarray, **others: Any) -> Attribution:
            score = self.score
            seconds = time.perf_counter() - began
            return Attribution(method, level, removal, self.text, units, values, score, self.passes - passes, seconds, **others)

        return finish
