"""Leave-one-out: what the score loses when a word, phrase or sentence goes."""

from __future__ import annotations

import numpy as np

from ..encoder import Progress
from .match import Attribution, Match
from .removal import REMOVAL


def leave_one_out(match: Match, level: str = "words", removal: str = REMOVAL, progress: Progress | None = None) -> Attribution:
    """The score of the caption less that without each unit. `base` is the score without any of them, `effects` what
    `word_effects` gives.

    Raises ValueError for an unknown level or removal, and for a caption with nothing in it.
    """
    finish = match.begin("leave-one-out", level, removal)
    units = match.units(level)
    seen = [number for number, unit in enumerate(units) if unit.seen]
    variants = [match.caption, match.without(units, removal), *(match.without([units[number]], removal) for number in seen)]
    whole, empty, *others = match.features(variants, progress).astype(np.float64)
    effects = whole - np.array(others).reshape(-1, len(whole))
    direction = match.direction.double().numpy()
    values = np.zeros(len(units))
    values[seen] = effects @ direction
    return finish(values, base=float(empty @ direction), effects=effects.astype(np.float32))
