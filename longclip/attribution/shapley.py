"""Shapley values: what a word adds to the score, averaged over the orders in which the words can be put in.

Castro et al., "Polynomial calculation of the Shapley value based on sampling", 2009; each order is also taken backwards
(Mitchell et al., "Sampling permutations for Shapley value estimation", 2022), which needs fewer of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from ..encoder import Progress
from .match import Attribution, Match
from .removal import REMOVAL

BUDGET = 2000


def shapley_values(
    match: Match,
    level: str = "words",
    removal: str = REMOVAL,
    budget: int = BUDGET,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attribution:
    """Estimates of at most about `budget` passes, with their standard errors; they add up to score - base exactly.

    Where the budget allows for every set of units they are not estimates. Two orders, one the other backwards, are the least
    that is done: twice as many passes as there are units. Raises ValueError as `leave_one_out` does, and for a budget below 1.
    """
    if budget < 1:
        raise ValueError(f"the budget is {budget} passes; wanted 1 or more")
    finish = match.begin("shapley", level, removal)
    units = match.units(level)
    seen = [number for number, unit in enumerate(units) if unit.seen]
    count = len(seen)

    def scores_of(kept: np.ndarray, told: Progress | None = None) -> np.ndarray:
        """Scores [n] of sets of units, bool [n, count]."""
        gone = [[units[seen[i]] for i in np.flatnonzero(~row)] for row in kept]
        return match.scores([match.without(removed, removal) for removed in gone], told)

    values, errors = np.zeros(len(units)), np.zeros(len(units))
    if 2**count <= budget:
        kept = (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(bool)
        scores = scores_of(kept, progress)
        values[seen], base = exact_values(scores, count), scores[0]
    else:
        pairs = max(1, budget // (2 * count))
        sums = []
        base = float("nan")
        for number, order in enumerate(_orders(count, pairs, np.random.default_rng(seed))):
            # Row k holds the first k units of the order: from nothing to the whole caption.
            kept = np.argsort(order)[None] < np.arange(count + 1)[:, None]
            both = scores_of(np.concatenate([kept, ~kept]), progress and partial(_of_all, progress, number, pairs))
            forth, back = np.diff(both[: count + 1]), np.diff(both[count + 1 :])
            sample = np.empty(count)
            sample[order] = (forth - back) / 2
            sums.append(sample)
            base = both[0]
        samples = np.stack(sums)
        values[seen] = samples.mean(0)
        errors[seen] = samples.std(0, ddof=1) / math.sqrt(pairs) if pairs > 1 else np.nan
    score = match.score
    return finish(values, base=float(base), gap=float(values.sum() - (score - base)), errors=errors)


def _of_all(progress: Progress, pair: int, pairs: int, done: int, total: int) -> None:
    """Tell of what is done of one pair of orders as of what is done of all."""
    progress(pair * total + done, pairs * total)


def exact_values(scores: np.ndarray, count: int) -> np.ndarray:
    """Shapley values [count] of a game: scores [2 ** count], bit i of the index saying whether player i is in the set."""
    sets = np.arange(2**count)
    sizes = sum((sets >> i & 1 for i in range(count)), np.zeros_like(sets))
    weights = np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)])
    values = []
    for player in range(count):
        without = sets[sets >> player & 1 == 0]
        values.append(weights[sizes[without]] @ (scores[without | 1 << player] - scores[without]))
    return np.array(values)


def _orders(count: int, pairs: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    return (generator.permutation(count) for _ in range(pairs))
