"""Which words of a pair the model is shown this time: the long caption, and the short one beside it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..sentences import split_sentences
from .pairs import Pair

SHORT = ("first-sentence", "field", "none")
SENTENCES = ("all", "sample")


@dataclass(frozen=True)
class CaptionPolicy:
    """How captions are drawn from a pair.

    short: the long caption's first sentence, as in Long-CLIP (arXiv 2403.15378), the data's own short caption ("field";
    the first sentence where there is none), or "none". short_details: the probability that the short caption is a random
    part of the sentences after the first instead, as always in DeBias-CLIP (CVPR 2026, arXiv 2602.22419), which found that a
    summary that always comes first is a shortcut. summary_drop, sentences: against the same shortcut in the long caption: the
    probability that its first sentence is left out, and whether the others are all kept or a random part of them is ("sample").
    """

    short: str = "first-sentence"
    short_details: float = 0.0
    summary_drop: float = 0.0
    sentences: str = "all"

    def __post_init__(self) -> None:
        for name, choices in (("short", SHORT), ("sentences", SENTENCES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}, wanted one of {', '.join(choices)}")
        for name in ("short_details", "summary_drop"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted a probability between 0 and 1")

    def draw(self, pair: Pair, rng: random.Random) -> tuple[str, str]:
        """A long and a short caption, the same ones for the same state of `rng`.

        One of the pair's captions is drawn, each as likely as the others (LaCLIP, arXiv 2305.20088). The long one is empty
        only if the pair has no words at all; the short one then too, and under "none".
        """
        captions = [text for text in pair.captions if text.strip()] or [pair.short]
        caption = rng.choice(captions).strip()
        spans = split_sentences(caption)
        summary = caption[slice(*spans[0])] if spans else ""
        long = self._long(caption, spans, rng)
        if self.short == "none":
            return long, ""
        if spans[1:] and rng.random() < self.short_details:
            return long, _join(caption, _sample(spans[1:], rng))
        return long, (pair.short.strip() if self.short == "field" else "") or summary

    def _long(self, caption: str, spans: list[tuple[int, int]], rng: random.Random) -> str:
        first, rest = spans[:1], spans[1:]
        if not rest:
            return caption
        if rng.random() < self.summary_drop:
            first = []
        if self.sentences == "all":
            return caption if first else caption[rest[0][0] :]
        return _join(caption, first + _sample(rest, rng))


def _sample(spans: list[tuple[int, int]], rng: random.Random) -> list[tuple[int, int]]:
    """At least one of the sentences, any number as likely as any other, in their order."""
    return sorted(rng.sample(spans, rng.randint(1, len(spans))))


def _join(text: str, spans: list[tuple[int, int]]) -> str:
    return " ".join(text[start:end] for start, end in spans)
