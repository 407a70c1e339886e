"""Recall at k in both directions, over a whole set or within its families."""

from __future__ import annotations

import numpy as np

from ..encoder import Encoder
from ..retrieval import ROUNDING, ranks, recall, retrieval_ranks
from .data import EvaluationSet

AT = (1, 5, 10)


def measure_retrieval(encoder: Encoder, data: EvaluationSet) -> dict[str, float]:
    """Recall at 1, 5 and 10 in percent, by name: "long text to image R@1" and so on; a tie counts against.

    A set with families gives recall at 1 within them (`data.short` is then left out: families share it).
    """
    image = encoder.encode_image(data.pictures)
    long = encoder.encode_text(data.long)
    if data.families:
        members = [np.flatnonzero([name == family for name in data.families]) for family in dict.fromkeys(data.families)]
        return {
            f"long {direction} R@1": _percent(
                np.concatenate([ranks(a[rows] @ b[rows].T, tolerance=ROUNDING) for rows in members]), 1
            )
            for direction, a, b in (("text to image", long, image), ("image to text", image, long))
        }
    figures = {}
    for kind, text in (("long", long), ("short", encoder.encode_text(data.short) if data.short else None)):
        if text is not None:
            for direction, a, b in (("text to image", text, image), ("image to text", image, text)):
                found = retrieval_ranks(a, b)
                figures |= {f"{kind} {direction} R@{k}": _percent(found, k) for k in AT if k < len(found)}
    return figures


def _percent(found: np.ndarray, k: int) -> float:
    return round(100 * recall(found, k), 2)
