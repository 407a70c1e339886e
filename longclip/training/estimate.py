"""How many steps fit into a span of time, found by taking a few."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path

from .recipe import Recipe
from .run import start
from .sources import make_batches, read_training_data
from .step import read_evenly

_TRIED = 4


def estimate_steps(recipe: Recipe, seconds: float) -> int:
    """Steps of this recipe that take about `seconds` on this machine, batches included; at least 1.

    Takes a few steps on a run that is thrown away; the time that loading the model takes is not counted.
    """
    recipe, data, _ = read_training_data(replace(recipe, steps=_TRIED))
    run = start(recipe, Path())
    batches = make_batches(run, data)
    read_evenly(run, batches[0])
    run.train_mode()
    times = []
    for number in range(_TRIED):
        begun = time.perf_counter()
        run.update([batches[number * recipe.accumulate + part] for part in range(recipe.accumulate)])
        times.append(time.perf_counter() - begun)
    return max(1, int(seconds / statistics.median(times[1:])))
