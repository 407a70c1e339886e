"""Tokens that somebody added to a vocabulary: found in a text before its words are split, as transformers finds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import regex

from longclip.cleaning import clean

_WORD = regex.compile(r"\w")


@dataclass(frozen=True)
class AddedToken:
    """A token by what it stands for in a text.

    normalized: found in the text after cleaning (lower case, single spaces), as its own cleaned form; else in the text as
    typed. single_word: only where no letter or digit touches it. Spaces that a tokenizer counts as part of the token
    (transformers' `lstrip` and `rstrip`) make no ids in CLIP, so they are of no account here. following: ids that come after
    its own, where a token of textual inversion stands for several vectors.
    """

    content: str
    id: int
    normalized: bool = True
    single_word: bool = False
    following: tuple[int, ...] = ()


class AddedTokens:
    """The added tokens of a vocabulary. Where several begin at the same place, the longest is taken."""

    def __init__(self, tokens: tuple[AddedToken, ...] = ()) -> None:
        self.tokens = tokens
        self._typed = _Finder({token.content: token for token in tokens if not token.normalized})
        self._cleaned = _Finder({clean(token.content): token for token in tokens if token.normalized})

    def __bool__(self) -> bool:
        return bool(self.tokens)

    def split_typed(self, text: str) -> Iterator[tuple[int, int, tuple[int, ...] | None]]:
        """(start, end, ids) of the parts of a text as typed; the ids are None for what is no added token."""
        return self._typed.split(text)

    def split_cleaned(self, text: str) -> Iterator[tuple[int, int, tuple[int, ...] | None]]:
        """The same of a cleaned text."""
        return self._cleaned.split(text)


class _Finder:
    def __init__(self, tokens: Mapping[str, AddedToken]) -> None:
        self._tokens = {content: token for content, token in tokens.items() if content}
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = regex.compile("|".join(map(regex.escape, longest_first))) if longest_first else None

    def split(self, text: str) -> Iterator[tuple[int, int, tuple[int, ...] | None]]:
        end = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            token = self._tokens[match.group()]
            # What a word's letters touch is passed over whole, with the shorter tokens in it.
            if token.single_word and (
                _WORD.match(text[max(0, match.start() - 1) : match.start()]) or _WORD.match(text, match.end())
            ):
                continue
            if match.start() > end:
                yield end, match.start(), None
            yield match.start(), match.end(), (token.id, *token.following)
            end = match.end()
        if end < len(text):
            yield end, len(text), None
