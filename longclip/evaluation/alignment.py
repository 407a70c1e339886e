"""How far positive and negative pairs are apart (Chen et al., arXiv 2310.00927, on what CLIP's features transfer)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..retrieval import ROUNDING, Answers, cosines, similarities
from ..sentences import split_sentences
from .features import Features, Group
from .retrieval import percent

GAMMAS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
DECILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
TOP = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Margins:
    """Of each pair, float32 [pairs]: its cosine less the highest of its negatives; and for each gamma, the negatives of all
    pairs whose cosine lies above the pair's own less gamma, int64 [gammas], out of `negatives`."""

    margins: np.ndarray
    above: np.ndarray
    negatives: int


def measure_alignment(features: Features) -> dict[str, Any]:
    """Margins and cosines of the pairs (a long caption and its picture), over the whole set or within its families.

    S are cosines, i a pair, j its negatives: other pictures for its caption ("text to image"), captions of other pictures
    for its picture ("image to text"). Curves are {place: figure}, places as text.

    - "margin": S_ii − max_j S_ij, as mean, median, deciles, and the share that is negative in percent;
    - "negatives above S_ii − γ": the share of all S_ij with S_ij > S_ii − γ, in percent, by γ;
    - "top-r error": the share of queries whose match is not among the best r, in percent, by r; a tie counts against
      here as in the two before;
    - "variance over …": of S over the sentences of a caption, or the captions of a picture where it has several, averaged;
    - "temperature": 1 / logit scale; "mean positive cosine", "mean negative cosine".
    """
    image, text, groups = features.images, features.long, features.groups
    own = _own_cosines(image, text, features.owners)
    figures: dict[str, Any] = {
        "temperature": round(1 / features.encoder.logit_scale, 5),
        "mean positive cosine": _rounded(own.mean(dtype=np.float64)),
        "mean negative cosine": _rounded(mean_negative(image, text, groups)),
    }
    for direction, ranks, find, candidates in (
        ("text to image", features.ranks_of_pictures(text), margins_to_pictures, max(len(image[g.pictures]) for g in groups)),
        ("image to text", features.ranks_of_texts(text), margins_to_texts, max(len(g.owners) for g in groups)),
    ):
        parts = [find(image[g.pictures], text[g.captions], g.owners) for g in groups if np.ptp(g.owners)]
        figures |= _describe(direction, parts)
        figures[f"top-r error, {direction} (%)"] = {str(r): percent((ranks >= r).mean()) for r in TOP if r < candidates}
    return figures | measure_variance(features)


def margins_to_pictures(image: np.ndarray, text: np.ndarray, owners: np.ndarray) -> Margins:
    """Of each caption with its picture, against all other pictures; owners: the row of `image` for each of `text`."""
    own = _own_cosines(image, text, owners)
    hardest, above = np.empty(len(text), dtype=np.float32), np.zeros(len(GAMMAS), dtype=np.int64)
    for first, part in similarities(text, image):
        pairs = np.arange(first, first + len(part))
        part[np.arange(len(part)), owners[pairs]] = -np.inf
        hardest[pairs] = part.max(axis=1)
        above += _count_above(part, own[pairs])
    return Margins(own - hardest, above, len(text) * (len(image) - 1))


def margins_to_texts(image: np.ndarray, text: np.ndarray, owners: np.ndarray) -> Margins:
    """Of each caption's picture with it, against all captions of other pictures."""
    own = _own_cosines(image, text, owners)
    hardest, above = np.empty(len(text), dtype=np.float32), np.zeros(len(GAMMAS), dtype=np.int64)
    # A picture with five captions makes five pairs.
    for first, part in similarities(image[owners], text):
        pairs = np.arange(first, first + len(part))
        part[owners[pairs, None] == owners] = -np.inf
        hardest[pairs] = part.max(axis=1)
        above += _count_above(part, own[pairs])
    captions = np.bincount(owners)
    return Margins(own - hardest, above, int(len(text) ** 2 - (captions**2).sum()))


def mean_negative(image: np.ndarray, text: np.ndarray, groups: list[Group]) -> float:
    """The mean cosine of captions with pictures that are not theirs, within the groups, one of which has two pictures."""
    total, count = 0.0, 0
    for g in groups:
        pictures, captions = image[g.pictures], text[g.captions]
        # The sum of all products of two sets of vectors is the product of their sums.
        every = pictures.sum(axis=0, dtype=np.float64) @ captions.sum(axis=0, dtype=np.float64)
        total += every - _own_cosines(pictures, captions, g.owners).sum(dtype=np.float64)
        count += len(pictures) * len(captions) - len(captions)
    return float(total / count)


def measure_variance(features: Features) -> dict[str, float]:
    """The variance of a picture's cosines with its captions, or with the sentences of its one caption, averaged."""
    data = features.data
    if data.owners:
        what, text, owners = "captions", features.long, features.owners
    else:
        spans = [split_sentences(caption) for caption in data.long]
        sentences = [caption[a:b] for caption, parts in zip(data.long, spans, strict=True) for a, b in parts]
        what, text = "sentences", features.of_texts(sentences)
        owners = np.repeat(features.owners, [len(parts) for parts in spans])
    values = _own_cosines(features.images, text, owners).astype(np.float64)
    counts = np.bincount(owners)
    sums, squares = np.bincount(owners, values), np.bincount(owners, values**2)
    several = counts > 1
    if not several.any():
        return {}
    variance = squares[several] / counts[several] - (sums[several] / counts[several]) ** 2
    return {f"variance over {what}": round(float(variance.mean()), 6)}


def _own_cosines(image: np.ndarray, text: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """S_ii, float32 [pairs]."""
    return cosines(text, image, Answers(np.arange(len(text)), owners))


def _count_above(part: np.ndarray, own: np.ndarray) -> np.ndarray:
    return np.array([np.count_nonzero(part >= (own - np.float32(gamma + ROUNDING))[:, None]) for gamma in GAMMAS])


def _describe(direction: str, parts: list[Margins]) -> dict[str, Any]:
    margins = np.concatenate([part.margins for part in parts])
    above, negatives = sum(part.above for part in parts), sum(part.negatives for part in parts)
    deciles = np.percentile(margins, DECILES)
    return {
        f"margin {direction}, mean": _rounded(margins.mean()),
        f"margin {direction}, median": _rounded(np.median(margins)),
        f"margin {direction}, negative (%)": percent((margins <= ROUNDING).mean()),
        f"margin {direction}, deciles": {str(place): _rounded(value) for place, value in zip(DECILES, deciles, strict=True)},
        f"negatives above S_ii − γ, {direction} (%)": {
            f"{gamma:g}": percent(count / negatives) for gamma, count in zip(GAMMAS, above, strict=True)
        },
    }


def _rounded(value: float) -> float:
    # Adding 0 makes a rounded −0 plain.
    return round(float(value), 4) + 0.0
