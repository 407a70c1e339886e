"""Where a recipe's batches come from: its data set, cut into what is trained on and what is held out, or the picture book."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from torch.utils.data import Dataset

from ..data.held_out import read_training_pairs
from ..data.pairs import PairData
from ..recipes import OptionError
from .batches import Batch, Share
from .pairs import PairBatches, name_of
from .recipe import MOST_HELD_OUT, PICTURE_BOOK, Recipe, check_components
from .scenes import SceneBatches

if TYPE_CHECKING:
    from .run import Run

# Of a larger data set so many pairs, evenly spread, tell whether it is still the same.
_LOOKED_AT = 10_000


def read_training_data(recipe: Recipe) -> tuple[Recipe, PairData | None, PairData | None]:
    """The recipe as it will run, and the pairs to train and to validate on (None: the picture book).

    The recipe gets its number of steps, and a batch of no more pairs than there are. Raises OptionError for what does not
    fit the data, DataError for data that cannot be read.
    """
    if recipe.data == PICTURE_BOOK:
        if not recipe.steps:
            raise OptionError(
                "steps", "is 0, and the picture book has no end: say how many steps to train, or name a data set (data, --data)"
            )
        return recipe, None, None
    data, kept = read_training_pairs(recipe.data, recipe.pictures, recipe.split)
    if kept is None:
        data, held_out = data.hold_out(_held_out(recipe, len(data)))
    else:
        # A split that the data set keeps for this is no part of what is trained on: all of it may be held out.
        count = int(recipe.held_out) if recipe.held_out >= 1 or not recipe.held_out else MOST_HELD_OUT
        held_out = replace(kept, pairs=kept.pairs[:count], collected=None)
    recipe = fit_batch(recipe, len(data.pairs))
    return replace(recipe, steps=recipe.steps or count_steps(recipe, len(data.pairs))), data, held_out


def count_steps(recipe: Recipe, pairs: int) -> int:
    """Optimiser steps that the recipe's epochs take over so many pairs."""
    return math.ceil(recipe.epochs * pairs / (recipe.batch * recipe.accumulate))


def fit_batch(recipe: Recipe, pairs: int) -> Recipe:
    """The recipe with a batch of no more than so many pairs, shared evenly by its processes.

    A larger one would hold pairs twice, each the other's wrong answer. Raises OptionError where too few are left to learn from.
    """
    if recipe.batch <= pairs:
        return recipe
    processes = int(os.environ.get("WORLD_SIZE", 1))
    batch = pairs // processes * processes
    if batch < 2:
        raise OptionError("data", f"{recipe.data} has {pairs:,} pairs to train on for {processes} processes: wanted at least 2")
    check_components(recipe, batch, processes, f", and there are {pairs:,} pairs to train on")
    return replace(recipe, batch=batch)


def _held_out(recipe: Recipe, pairs: int) -> int:
    """Pairs that are held out of so many. Raises OptionError where none would be left."""
    count = int(recipe.held_out) if recipe.held_out >= 1 else min(MOST_HELD_OUT, int(recipe.held_out * pairs))
    if count >= pairs:
        raise OptionError(
            "held_out", f"is {count:,}, and the data has {pairs:,} pairs: wanted fewer, with at least one left to train on"
        )
    return count


def name_data(data: PairData | None) -> str:
    """What a model was trained on, for its card."""
    return "scenes of the picture book" if data is None else f"{len(data.pairs):,} pairs of {data.title}"


def identify_data(data: PairData | None) -> str:
    """How many pairs there are, and a hash of their pictures' names and their captions; empty for the picture book."""
    if data is None:
        return ""
    count, digest = len(data.pairs), hashlib.sha256()
    for number in range(0, count, max(1, count // _LOOKED_AT)):
        pair = data.pairs[number]
        digest.update(json.dumps([name_of(pair), pair.captions, pair.short]).encode())
    return f"{count:,} pairs (hash {digest.hexdigest()[:16]})"


def make_batches(run: Run, data: PairData | None, share: Share | None = None) -> Dataset[Batch]:
    """Batch number -> this process's rows (or of `share`), of scenes (no data) or of pairs; it depends on its number alone."""
    share = share or run.share
    if data is None:
        return SceneBatches(run.recipe, run.look.size[0], share)
    return PairBatches(run.recipe, data, run.look, share)
