"""Words, phrases and sentences as character spans of what was typed, with the tokens that each of them became.

Words are those of Unicode's text segmentation, marks (runs of punctuation) being units of their own; Han and kana have
one unit a character, a run of Thai, Lao, Khmer or Burmese is one. Units that share a token are joined: a model cannot tell
them apart. Every visible character belongs to exactly one unit, and every token but start and end to exactly one that is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import regex

from ..sentences import split_sentences
from ..tokens import Tokens

LEVELS = ("words", "phrases", "sentences")
# Scripts whose words only a dictionary tells apart; Unicode's default would cut them letter by letter.
_UNDIVIDED = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}][\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{M}]*"
_BOUNDARY = regex.compile(rf"(?V1)({_UNDIVIDED})|(?w:\b)")
_MARK = regex.compile(r"(?V1)[[\p{P}\p{S}]--\p{Extended_Pictographic}]+")
# What ends a phrase, and what begins one: the English words that tie a phrase to what it follows.
_ENDS = regex.compile(r".*[,;:،；)\]–—…]")
_BEGINS = regex.compile(
    "about|above|across|after|against|along|among|and|around|as|at|because|before|behind|below|beneath|besides?|between|beyond|"
    "but|by|down|during|for|from|in|inside|into|near|next|off?|on|onto|or|outside|over|past|since|that|through|towards?|to|"
    "under|underneath|until|up|upon|when|where|which|while|who|with|within|without"
)


@dataclass(frozen=True)
class Unit:
    """``text[start:end]`` of a caption, which became the tokens `first` up to but not including `last` (start token: 0).

    Of a unit that no longer fits there are no tokens; of one that is cut, `read_end` says where reading stopped.
    """

    text: str
    start: int
    end: int
    first: int
    last: int
    read_end: int
    mark: bool = False

    @property
    def seen(self) -> bool:
        """Whether the model reads it, or the beginning of it."""
        return self.last > self.first

    @property
    def tokens(self) -> range:
        """The positions of its tokens."""
        return range(self.first, self.last)


def split_units(tokens: Tokens, level: str = "words") -> tuple[Unit, ...]:
    """The units of a text, in order. Raises ValueError for an unknown level and for a text with nothing visible."""
    if level not in LEVELS:
        raise ValueError(f"level {level!r} is unknown; there are {', '.join(LEVELS)}")
    spans = word_spans(tokens.text)
    if not spans:
        raise ValueError("the caption is empty: wanted at least one word")
    if level != "words":
        spans = _gather(spans, _firsts(tokens.text, spans, level))
    return tuple(_units(tokens, spans))


def word_spans(text: str) -> list[tuple[int, int]]:
    """Character spans of the words and marks of a text, in order; together they hold all that is visible."""
    cuts = sorted({0, len(text), *(cut for match in _BOUNDARY.finditer(text) for cut in match.span())})
    spans: list[tuple[int, int]] = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        if not (piece := text[start:end]).strip():
            continue
        start += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
        if spans and spans[-1][1] == start and _is_mark(text[spans[-1][0] : end]):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _is_mark(text: str) -> bool:
    return _MARK.fullmatch(text) is not None


def _firsts(text: str, spans: list[tuple[int, int]], level: str) -> set[int]:
    """The numbers of the words that begin a sentence, or a phrase within one.

    A phrase ends behind a comma or its like and before a word such as "with" or "under"; one of such words alone is none.
    """
    starts = {start for start, _ in split_sentences(text)}
    firsts = {number for number, (start, _) in enumerate(spans) if start in starts} | {0}
    if level == "sentences":
        return firsts
    content = False  # whether the phrase so far has a word that is more than a tie to what it follows
    for number, (start, end) in enumerate(spans):
        ties = _BEGINS.fullmatch(text[start:end].lower()) is not None and text[end : end + 1].isspace()
        mark = _is_mark(text[start:end])
        apart = text[start - 1 : start].isspace()
        ended = number > 0 and _ENDS.fullmatch(text[slice(*spans[number - 1])]) is not None
        if number in firsts or (content and apart and (ties or ended)):
            firsts.add(number)
            content = False
        content = content or not (ties or mark)
    return firsts


def _gather(spans: list[tuple[int, int]], firsts: set[int]) -> list[tuple[int, int]]:
    """Runs of words, each beginning with one of `firsts`, as spans."""
    numbers = [*sorted(firsts), len(spans)]
    return [(spans[a][0], spans[b - 1][1]) for a, b in zip(numbers, numbers[1:], strict=False)]


def _units(tokens: Tokens, spans: list[tuple[int, int]]) -> Iterator[Unit]:
    text, last, read = tokens.text, len(tokens) - 1, tokens.unseen_start
    token, number = 1, 0
    while number < len(spans):
        start, end = spans[number]
        number += 1
        first = token
        while token < last and tokens.spans[token][0] < end:
            # A token that reaches into the next unit joins it to this one.
            while number < len(spans) and tokens.spans[token][1] > spans[number][0]:
                end = spans[number][1]
                number += 1
            token += 1
        seen = token > first
        read_end = min(end, max(start, read)) if seen else start
        yield Unit(text[start:end], start, end, first, token, read_end, _is_mark(text[start:end]))
