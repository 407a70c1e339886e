"""What a run is about to do, said before it starts: steps, rows, the highest learning rate, and why it may learn little."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..data.pairs import DataError, Pair, PairData, Slice
from ..recipes import flag
from .pairs import PairBatches
from .recipe import OF_THE_PICTURE_BOOK, Recipe
from .schedule import shares
from .sources import count_steps, name_data

#: AdamW moves a weight by about the learning rate a step. The authors' run moves one by 1.8e-3 at most; a model that begins
#: from random weights has all of their size to go. Below this distance a run is said to learn next to nothing.
LEAST_WAY, LEAST_WAY_FROM_RANDOM = 2e-4, 1e-2
# What is proposed where that is not reached.
_SMALL_BATCH, _RATE, _RATE_FROM_RANDOM = 64, 1e-5, 1e-3
# Rows of a batch of which a larger share has a twin are worth a warning. How many rows are looked at to know it.
_TWINS, _LOOKED_AT = 0.02, 4096
_FEW_ROWS = 16
# Above this rate a base forgets what it knows within some steps.
_HIGH_RATE = 1e-3


@dataclass(frozen=True)
class Warned:
    """What is wrong with a run, and the fields of its recipe with which it is better, if such fields are known."""

    sentence: str
    better: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        flags = " ".join(f"{flag(name)} {value:g}" for name, value in self.better.items())
        return f"{self.sentence}; try {flags}" if flags else self.sentence


@dataclass(frozen=True)
class Preview:
    """What a run will do, in sentences, and what is wrong with that.

    highest_rate: the learning rate that it reaches. way: how far AdamW can move a weight in all its steps, about.
    """

    facts: tuple[str, ...]
    warnings: tuple[Warned, ...] = ()
    highest_rate: float = 0.0
    way: float = 0.0

    def lines(self) -> list[str]:
        """All of it, a line each."""
        return [*self.facts, *(f"warning: {warned}" for warned in self.warnings)]


def preview(given: Recipe, recipe: Recipe, data: PairData | None, held_out: PairData | None, processes: int = 1) -> Preview:
    """What the recipe will do with its data. given: the recipe before it was fitted to the data."""
    highest, way = reach(recipe)
    held = len(held_out.pairs) if held_out is not None else 0
    rows = recipe.batch * recipe.accumulate
    shared = f", shared by {processes} processes" if processes > 1 else ""
    passes = f", {recipe.steps * rows / len(data.pairs):.3g} passes over the data" if data is not None else ""
    measured = min(recipe.validate_on, held if data is not None else recipe.validate_on)
    unmeasured = ": nothing is held out for it" if recipe.validate_on else ""
    facts = [
        f"learns from {name_data(data)}",
        f"recall is measured on {measured:,} held-out ones" if measured else f"recall is not measured{unmeasured}",
        f"{recipe.steps:,} {_steps(recipe.steps)} of {rows:,} pairs{shared}{passes}",
        f"learning rate up to {highest:.2g}, after {recipe.warmup_steps:,} {_steps(recipe.warmup_steps)} of warm-up; "
        f"a weight moves by {way:.2g} at most, about",
    ]
    warnings = []
    if recipe.batch < given.batch:
        warnings.append(Warned(f"a batch of {given.batch:,} is more than there are pairs: it is made {recipe.batch:,}"))
    warnings += _about_learning(recipe, data, highest, way)
    if data is not None:
        fact, twins = _about_twins(recipe, data)
        facts.append(fact)
        warnings += twins
        idle = [name for name in OF_THE_PICTURE_BOOK if getattr(recipe, name) != getattr(_DEFAULTS, name)]
        if idle:
            warnings.append(Warned(f"of the picture book alone, and without effect here: {', '.join(idle)}"))
    elif recipe.family_share and recipe.batch * recipe.family_share < recipe.family_size:
        share, size = recipe.family_share, recipe.family_size
        warnings.append(
            Warned(
                f"{share:g} of a batch of {recipe.batch} is no whole family of {size}: there are none",
                {"batch": math.ceil(size / share)},
            )
        )
    return Preview(tuple(facts), tuple(warnings), highest, way)


def reach(recipe: Recipe) -> tuple[float, float]:
    """The highest learning rate that the recipe reaches, and the sum of the rates of all its steps."""
    highest, total = shares(recipe.warmup_steps, recipe.steps, recipe.last_rate)
    return recipe.learning_rate * highest, recipe.learning_rate * total


def suggest(recipe: Recipe, pairs: int | None = None) -> dict[str, float]:
    """Fields with which the recipe goes as far as it must to learn, the mildest change first; `pairs`: of its data.

    A smaller batch gives more steps; where that is not enough a higher rate helps, and where that is not, more passes do.
    """
    changes: dict[str, float] = {}
    counted = pairs is not None and recipe.steps == count_steps(recipe, pairs)

    def changed(**more: float) -> bool:
        """Whether that is enough; every change stays."""
        changes.update(more)
        new = replace(recipe, **changes)
        if counted:
            new = replace(new, steps=count_steps(new, pairs))
        return reach(new)[1] >= _least(recipe)

    if recipe.warmup_steps > recipe.steps / 2 and changed(warmup=0.1):
        return changes
    if counted:
        least = max(_SMALL_BATCH, recipe.components + 2) if recipe.objective == "primary-component" else _SMALL_BATCH
        if recipe.batch > least and changed(batch=least):
            return changes
        if recipe.accumulate > 1 and changed(accumulate=1):
            return changes
    rate = _RATE if recipe.base is not None else _RATE_FROM_RANDOM
    if recipe.learning_rate < rate and changed(learning_rate=rate):
        return changes
    name, value = ("epochs", recipe.epochs) if counted else ("steps", recipe.steps)
    while not changed(**{name: value}):
        value = math.ceil(1.25 * value)
    return changes


def _about_learning(recipe: Recipe, data: PairData | None, highest: float, way: float) -> list[Warned]:
    """Why the recipe may learn little, or too fast."""
    warnings = []
    if highest < 0.99 * recipe.learning_rate:
        sentence = (
            f"warm-up takes {recipe.warmup_steps:,} steps of {recipe.steps:,}, so the learning rate gets to {highest:.2g}"
        )
        warnings.append(Warned(f"{sentence} of {recipe.learning_rate:.2g}", {"warmup": 0.1}))
    if way < _least(recipe):
        sentence = (
            f"this run can hardly learn: its {recipe.steps:,} {_steps(recipe.steps)} at up to {highest:.2g} move a weight by "
            f"{way:.2g} at most, and {_least(recipe):.0e} is about the least that shows"
        )
        warnings.append(Warned(sentence, suggest(recipe, len(data.pairs) if data is not None else None)))
    if recipe.base is not None and highest > _HIGH_RATE:
        sentence = f"at a learning rate of {highest:.2g} a base forgets what it knows"
        warnings.append(Warned(sentence, {"learning_rate": _RATE}))
    if recipe.batch < _FEW_ROWS:
        others = f"{recipe.batch - 1} {'others' if recipe.batch > 2 else 'other'}"
        sentence = f"a caption of a batch of {recipe.batch} has {others} to be told from, which teaches little"
        enough = data is None or len(data.pairs) >= _SMALL_BATCH
        warnings.append(Warned(sentence, {"batch": _SMALL_BATCH} if enough else {}))
    return warnings


def _about_twins(recipe: Recipe, data: PairData) -> tuple[str, list[Warned]]:
    """How many rows of a batch have a picture or a caption that another row has too, and what to do about it."""
    looked = max(1, min(_LOOKED_AT // recipe.batch, recipe.steps * recipe.accumulate))
    batches = PairBatches(recipe, data, None)
    counts: Counter[str] = Counter()
    for number in range(looked):
        pairs, long, short = zip(*batches.told(number), strict=True)
        counts["picture"] += _twins(_pictures(pairs))
        counts["caption"] += _twins(long)
        if recipe.uses_short:
            counts["short caption"] += _twins(short)
    each = {what: count / looked for what, count in counts.items()}
    of = f"of the {recipe.batch:,} rows of a batch"
    fact = f"{of}, " + ", ".join(f"{count:.3g} have the {what} of another" for what, count in each.items())
    many = {what: count for what, count in each.items() if count > _TWINS * recipe.batch}
    if not many:
        return fact, []
    found = " and ".join(f"{count:.3g} have the same {what}" for what, count in many.items())
    sentence = (
        f"{of}, {found} as another row, and each counts as the other's wrong answer: one row a picture, with all its captions, "
        f"captions that say something of their own, or a smaller batch make them fewer"
    )
    return fact, [Warned(sentence)]


def _twins(keys: Sequence[Hashable]) -> int:
    """Rows whose key another row has too."""
    return sum(count for count in Counter(keys).values() if count > 1)


def _pictures(pairs: Sequence[Pair]) -> list[Hashable]:
    """A key of each pair's picture, the same for files of the same bytes; only files of equal size are opened."""
    sizes = [_size(pair.picture) for pair in pairs]
    alike = Counter(sizes)
    return [
        (size, _digest(pair.picture)) if size and alike[size] > 1 else (size, str(pair.picture))
        for size, pair in zip(sizes, pairs, strict=True)
    ]


def _size(picture: Path | Slice) -> int:
    """Bytes; 0 for a picture that is not there, which training will count."""
    if isinstance(picture, Slice):
        return picture.size
    try:
        return picture.stat().st_size
    except OSError:
        return 0


def _digest(picture: Path | Slice) -> str:
    try:
        content = picture.read() if isinstance(picture, Slice) else picture.read_bytes()
    except (OSError, DataError):
        return str(picture)
    return hashlib.sha256(content).hexdigest()


def _least(recipe: Recipe) -> float:
    return LEAST_WAY if recipe.base is not None else LEAST_WAY_FROM_RANDOM


def _steps(count: int) -> str:
    return "step" if count == 1 else "steps"


_DEFAULTS = Recipe(base="none")
