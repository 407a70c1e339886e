"""How much of a long caption a model makes use of: retrieval with captions that are cut short."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..attribution.length import Band, average
from ..retrieval import recall
from ..sentences import split_sentences
from .features import Features
from .retrieval import percent

if TYPE_CHECKING:
    from ..tokens import Tokenizer

WORDS = (5, 10, 20, 40, 80, 160)
TOKENS = (10, 20, 40, 60, 77, 120, 180, 248)
SENTENCES = (1, 2, 4, 8)
REACHED = 0.95
_WORD = re.compile(r"\S+")


def measure_length(features: Features, seed: int = 0) -> dict[str, Any]:
    """Text-to-image recall at 1 (percent), mean rank (from 1) and mean score by the words, tokens and sentences that are kept.

    Each curve is {budget: figure}, budgets as text. Tokens count start and end, as a context length does; a budget beyond
    what the model reads or the captions have gives what the whole caption gives. The score is the cosine of a caption and its
    picture; "…, low" and "…, high" bound its mean with 95 % confidence. "effective length": the smallest of the
    token budgets that reaches 95 % of the best recall at 1 over them; None where that is 0. Within families, if there are any.
    """
    long, tokenizer = features.data.long, features.encoder.tokenizer
    cutters: dict[str, tuple[tuple[int, ...], Callable[[str, int], str]]] = {
        "words": (WORDS, cut_words),
        "tokens": (TOKENS, lambda text, count: cut_tokens(tokenizer, text, count)),
        "sentences": (SENTENCES, cut_sentences),
    }
    own = features.images[features.owners]
    whole = features.ranks_of_pictures(features.long), (features.long * own).sum(1)
    figures: dict[str, Any] = {}
    for unit, (budgets, cut) in cutters.items():
        found = {str(count): _found(features, [cut(text, count) for text in long], own, whole) for count in budgets}
        if unit == "sentences":
            found["all"] = whole
        figures[f"text to image R@1 by {unit}"] = {budget: percent(recall(ranks, 1)) for budget, (ranks, _) in found.items()}
        figures[f"mean rank by {unit}"] = {budget: round(float(ranks.mean()) + 1, 2) for budget, (ranks, _) in found.items()}
        scores = np.stack([scores for _, scores in found.values()], axis=1)
        figures |= banded(f"score by {unit}", list(found), average(scores, range(len(found)), seed))
    figures["effective length"] = effective_length(figures["text to image R@1 by tokens"])
    return figures


def _found(
    features: Features, texts: list[str], own: np.ndarray, whole: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The ranks of the pictures by these texts, and the scores with their own: `whole` where they are the very captions."""
    if texts == list(features.data.long):
        return whole
    rows = features.of_texts(texts)
    return features.ranks_of_pictures(rows), (rows * own).sum(1)


def banded(name: str, places: Sequence[str], band: Band) -> dict[str, dict[str, float]]:
    """A mean and its band as three curves, NAME, "NAME, low" and "NAME, high", of the places that any caption reaches."""
    reached = [(number, place) for number, place in enumerate(places) if band.counts[number]]
    curves = {name: band.mean, f"{name}, low": band.low, f"{name}, high": band.high}
    return {title: {place: round(float(values[number]), 5) for number, place in reached} for title, values in curves.items()}


def effective_length(curve: dict[str, float]) -> int | None:
    """The smallest budget of a curve that reaches 95 % of its highest value; None where that is 0."""
    best = max(curve.values())
    return min(int(budget) for budget, value in curve.items() if value >= REACHED * best) if best else None


def cut_words(text: str, count: int) -> str:
    """The text up to the end of its `count`-th word."""
    for number, word in enumerate(_WORD.finditer(text), start=1):
        if number == count:
            return text[: word.end()]
    return text


def cut_sentences(text: str, count: int) -> str:
    """The text up to the end of its `count`-th sentence."""
    spans = split_sentences(text)
    return text[: spans[count - 1][1]] if len(spans) > count else text


def cut_tokens(tokenizer: Tokenizer, text: str, count: int) -> str:
    """The longest beginning of the text that has at most `count` tokens, start and end included, and ends with a word.

    Part of a word would be split into other tokens than it is within the word. A text that fits, or that the model itself
    cuts at `count` or sooner, is returned as it is.
    """
    tokens = tokenizer(text)
    if tokens.total <= count or count >= tokenizer.context_length:
        return text
    kept = range(1, count - 1)
    ends = [k for k in kept if tokenizer.tokens[tokens.ids[k]].endswith("</w>")]
    return text[: tokens.spans[ends[-1]][1]] if ends else ""
