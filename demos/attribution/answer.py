"""What one model says of a caption and a picture, as far as it has come; and both models' answers together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from demos.attribution.order import Order
from demos.figures import SIDES

if TYPE_CHECKING:
    from longclip.attribution import Attribution
    from longclip.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Answer:
    """One model's answer. maps: float32 [units that are read, rows, columns], what covering a patch takes from what each does.

    identity: what names the embedder that answered. problem: a sentence, in place of all else.
    """

    model: str
    title: str
    identity: str = ""
    tokens: Tokens | None = None
    attribution: Attribution | None = None
    maps: np.ndarray | None = None
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was asked and what each model answered, the left one first. complete: nothing is still to come."""

    order: Order = Order()
    answers: tuple[Answer, ...] = ()
    complete: bool = False

    @property
    def fine(self) -> bool:
        """Whether all models have answered."""
        return self.complete and not any(answer.problem for answer in self.answers)

    @property
    def told(self) -> list[tuple[Answer, Attribution]]:
        """The answers that have an attribution."""
        return [(answer, answer.attribution) for answer in self.answers if answer.attribution is not None]

    def side(self, answer: Answer) -> str:
        """Where a model stands: it keeps its place, and its colours, where the other one has failed."""
        return SIDES[self.answers.index(answer)]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Character spans of all units of the caption that some model reads, in order."""
        return sorted({(unit.start, unit.end) for _, found in self.told for unit in found.units if unit.seen})

    def values(self) -> list[dict[tuple[int, int], tuple[float, float | None]]]:
        """For each answer in `told`, (value, standard error where there is one) by the span of a unit that is read."""
        return [
            {
                (unit.start, unit.end): (float(value), None if found.errors is None else float(error))
                for unit, value, error in zip(found.units, found.values, _errors(found), strict=True)
                if unit.seen
            }
            for _, found in self.told
        ]


def _errors(found: Attribution) -> np.ndarray:
    return found.errors if found.errors is not None else np.zeros(len(found.units))
