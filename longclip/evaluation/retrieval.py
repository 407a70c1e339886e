"""Recall at k in both directions, over a whole set or within its families."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..retrieval import recall
from .features import Features

AT = (1, 5, 10)


def measure_retrieval(features: Features) -> dict[str, float]:
    """Recall at 1, 5 and 10 in percent, by name: "long text to image R@1" and so on; a tie counts against.

    Of a picture with several captions each is searched with, and any of them is right; the names then begin with "text"
    and "image". A set with families gives recall at 1 within them (`data.short` is then left out: families share it).
    """
    data = features.data
    kind = "" if data.owners else "long "
    figures = recalls(features, features.long, kind, (1,) if data.families else AT)
    if data.short and not data.families:
        # One short caption a picture, whatever the number of long ones.
        single = replace(data, long=data.short, owners=())
        short = Features(features.encoder, single, features.batch_size)
        short.images = features.images
        figures |= recalls(short, short.long, "short ", AT)
    return figures


def recalls(features: Features, texts: np.ndarray, kind: str, at: tuple[int, ...]) -> dict[str, float]:
    """Recall at each of `at` in percent, both ways, for the features of a text in place of each long caption."""
    found = {"text to image": features.ranks_of_pictures(texts), "image to text": features.ranks_of_texts(texts)}
    candidates = {"text to image": len(features.images), "image to text": len(texts)}
    return {
        f"{kind}{direction} R@{k}": percent(recall(ranks, k))
        for direction, ranks in found.items()
        for k in at
        if k < candidates[direction]
    }


def percent(share: float) -> float:
    """A share in percent, to a hundredth."""
    return round(100 * float(share), 2)
