"""Object recall and colour binding: which things that a prompt mentions does the detector find in what was drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image

from ..picturebook.kinds import KINDS
from ..picturebook.palette import COLOURS

if TYPE_CHECKING:
    from .detector import Detector

#: From this belief on the detector says that a kind is in a picture.
BELIEF = 0.5
# Words that can stand between a thing's article and its name end where one of these stands.
_BREAK = re.compile(r"[^\w\s]|\b(?:a|an|the|one|two|three|is|are|of|and|with|to|in|on)\b")


@dataclass(frozen=True)
class Mention:
    """A kind that a text names, where it does so first, and the colour said of it, if any."""

    kind: str
    start: int
    colour: str | None


@dataclass(frozen=True)
class Verdict:
    """Of a mention: whether the kind was found in the picture, and whether in its colour (None where none was said)."""

    mention: Mention
    found: bool
    coloured: bool | None


def find_mentions(text: str) -> list[Mention]:
    """The kinds of the picture book that a text names, in order; a colour counts where it stands right before the name."""
    mentions: dict[str, Mention] = {}
    lower, end = text.lower(), 0
    for match in _names().finditer(lower):
        kind = _kinds()[match.group()]
        before = _BREAK.split(lower[end : match.start()])[-1].split()
        end = match.end()
        colour = next((word for word in reversed(before) if word in COLOURS), None)
        known = mentions.get(kind)
        if known is None:
            mentions[kind] = Mention(kind, match.start(), colour)
        elif known.colour is None and colour:
            mentions[kind] = Mention(kind, known.start, colour)
    return list(mentions.values())


def judge(detector: Detector, pictures: Sequence[Image.Image], text: str) -> list[list[Verdict]]:
    """For each picture a verdict on each kind that the text mentions."""
    mentions = find_mentions(text)
    verdicts = []
    for beliefs in detector.find(pictures):
        row = []
        for mention in mentions:
            seen = beliefs[mention.kind]
            found = seen.belief >= BELIEF
            coloured = None if mention.colour is None else found and seen.colour == mention.colour
            row.append(Verdict(mention, found, coloured))
        verdicts.append(row)
    return verdicts


@cache
def _kinds() -> dict[str, str]:
    """A kind's name by what a text may call it."""
    return {form.lower(): kind.name for kind in KINDS.values() for form in (kind.name, kind.plural)}


@cache
def _names() -> re.Pattern[str]:
    forms = sorted(map(re.escape, _kinds()), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(forms)})\b")
