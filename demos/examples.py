"""Scenes of the gallery that show something, and ways to pick others."""

from __future__ import annotations

import random
from dataclasses import dataclass

from longclip.gallery import Gallery

EVERY, HARD, LATE = "every scene", "look-alikes", "look-alikes told apart late"
# Kinds of scenes, and how the name of their family begins.
KINDS = {EVERY: "", HARD: "hard/", LATE: "late/"}


@dataclass(frozen=True)
class Example:
    """A button: which kind of scenes it takes, which one of them, and whether by the short caption."""

    title: str
    kind: str
    number: int = 0
    short: bool = False


EXAMPLES = (
    Example("Told apart after token 77", LATE, 33),
    Example("Same summary, other details", HARD, 24),
    Example("One sentence", EVERY, 3, short=True),
)


def rows_of_kind(gallery: Gallery, kind: str) -> list[int]:
    """Rows of one of `KINDS`; all rows where there is none of that kind."""
    start = KINDS[kind]
    rows = [row for row, fields in enumerate(gallery.metadata) if not start or (fields.get("family") or "").startswith(start)]
    return rows or list(range(len(gallery)))


def example_row(gallery: Gallery, example: Example) -> int:
    """The row an example shows."""
    rows = rows_of_kind(gallery, example.kind)
    return rows[example.number % len(rows)]


def random_rows(gallery: Gallery, kind: str, count: int) -> list[int]:
    """Up to `count` different rows of a kind, in a random order."""
    rows = rows_of_kind(gallery, kind)
    return random.sample(rows, min(count, len(rows)))
