"""How much of a long caption a model makes use of: retrieval with captions that are cut short."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

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


def measure_length(features: Features) -> dict[str, Any]:
    """Text-to-image recall at 1 (percent) and mean rank (from 1) by the words, tokens and sentences that are kept.

    Each curve is {budget: figure}, budgets as text. Tokens count start and end, as a context length does; a budget beyond
    what the model reads or the captions have gives what the whole caption gives. "effective length": the smallest of the
    token budgets that reaches 95 % of the best recall at 1 over them; None where that is 0. Within families, if there are any.
    """
    long, tokenizer = features.data.long, features.encoder.tokenizer
    cutters: dict[str, tuple[tuple[int, ...], Callable[[str, int], str]]] = {
        "words": (WORDS, cut_words),
        "tokens": (TOKENS, lambda text, count: cut_tokens(tokenizer, text, count)),
        "sentences": (SENTENCES, cut_sentences),
    }
    whole = features.ranks_of_pictures(features.long)
    figures: dict[str, Any] = {}
    for unit, (budgets, cut) in cutters.items():
        ranks = {str(count): _ranks(features, [cut(text, count) for text in long], whole) for count in budgets}
        if unit == "sentences":
            ranks["all"] = whole
        figures[f"text to image R@1 by {unit}"] = {budget: percent(recall(found, 1)) for budget, found in ranks.items()}
        figures[f"mean rank by {unit}"] = {budget: round(float(found.mean()) + 1, 2) for budget, found in ranks.items()}
    return figures | {"effective length": effective_length(figures["text to image R@1 by tokens"])}


def _ranks(features: Features, texts: list[str], whole: np.ndarray) -> np.ndarray:
    """The ranks of the pictures by these texts: `whole` where they are the very captions."""
    return whole if texts == list(features.data.long) else features.ranks_of_pictures(features.of_texts(texts))


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
