"""Captions with some of their words taken away: what a model reads when they are gone.

Words are taken away as tokens, so that a caption of which the end does not fit never has more of it move in, and
everything that stays is tokenised as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..tokens import Tokenizer, Tokens

REMOVAL = "mask"
"""What is done where nothing else is said. To delete a word moves all behind it, which a model notices too."""
REMOVALS = {
    "mask": "no other token attends to the words; the rest stays where it is",
    "delete": "the words are deleted and the rest closes up",
    "replace": "each token of the words becomes a token that says little",
}
FILLER = "a"
"""What `replace` writes: the most frequent word there is."""


@dataclass(frozen=True)
class Variant:
    """Token ids from start to end token, and the position that each of them is read at."""

    ids: tuple[int, ...]
    columns: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, places: Iterable[int], removal: str = REMOVAL, filler: int = 0) -> Variant:
        """This without the tokens at some places. filler: the token id that "replace" writes.

        To delete is to drop tokens and number the rest anew. A token that nobody attends to need not be computed: to mask is
        to drop it and to leave the others' positions as they are. Raises ValueError for an unknown removal.
        """
        check_removal(removal)
        gone = set(places)
        if removal == "replace":
            return Variant(tuple(filler if place in gone else token for place, token in enumerate(self.ids)), self.columns)
        kept = [place for place in range(len(self)) if place not in gone]
        columns = tuple(self.columns[place] for place in kept) if removal == "mask" else self.columns[: len(kept)]
        return Variant(tuple(self.ids[place] for place in kept), columns)


def whole(tokens: Tokens) -> Variant:
    """The caption as it is read."""
    return Variant(tokens.ids, tuple(range(len(tokens))))


def filler_id(tokenizer: Tokenizer, filler: str = FILLER) -> int:
    """The token of a word. Raises ValueError for one that is not exactly one token."""
    ids = tokenizer(filler).ids[1:-1]
    if len(ids) != 1:
        raise ValueError(f"the filler {filler!r} is {len(ids)} tokens for this model: wanted a word that is one token")
    return ids[0]


def check_removal(removal: str) -> None:
    """Raises ValueError for a removal that does not exist."""
    if removal not in REMOVALS:
        raise ValueError(f"removal {removal!r} is unknown; there are {', '.join(REMOVALS)}")
