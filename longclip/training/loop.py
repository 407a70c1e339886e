"""The training loop: from a recipe to a model folder, on any number of devices, stopped and resumed at will."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
from tqdm import tqdm

from ..data.pairs import PairData
from ..data.pictures import Skips
from .batches import Batch, Share, load_batches, workers_named
from .card import check_folder, is_finished, write_model
from .journal import claim, journal
from .preview import Preview, preview
from .recipe import Recipe
from .run import Run, start
from .sources import identify_data, make_batches, name_data, read_training_data
from .step import read_evenly
from .stopping import Interrupted, asked_to_stop
from .validation import Validation

# Rows of the log: each tenth step of a long run, each step of a run of a hundred.
_LOG_EVERY, _LOG_ROWS = 10, 100

Report = Callable[[int, dict[str, float]], bool]
"""Called with the step and the figures of it; returning False ends the run, its state saved."""

Announce = Callable[[Preview], None]
"""Called once before the first step, with what the run will do and what is wrong with that."""


def train(
    recipe: Recipe,
    folder: Path,
    workers: int = 1,
    command: str = "",
    report: Report | None = None,
    announce: Announce | None = None,
) -> Path:
    """Run a recipe to its end, from wherever `folder` stands, and write the model into it. Returns the folder.

    Losses go to `log.jsonl` and TensorBoard's log, states to `state-*.pt`. A run that is finished is left as it is. Under
    `torchrun` or `accelerate launch` the processes share each batch. Ctrl-C, SIGTERM and `report` end the run after the step
    under way: the state is saved and Interrupted raised. Raises ValueError for a recipe that does not fit its base, its data
    or its folder, or where another run writes to that; FloatingPointError for a loss, a gradient or weights that are not
    finite, DataError where too many pictures cannot be read, OSError where a state cannot be written.
    """
    given = recipe
    recipe, data, held_out = read_training_data(recipe)
    run = start(recipe, folder)
    run.origin["data"] = identify_data(data)
    ahead = preview(given, recipe, data, held_out, run.processes)
    with claim(folder) if run.main else nullcontext(), workers_named():
        resumed = run.resume()
        if not resumed and run.main:
            check_folder(folder)
        if announce and run.main:
            announce(_from_here(run, ahead))
        if not (resumed and run.step >= recipe.steps and is_finished(folder)):
            _train(run, data, held_out, workers, command, report, ahead, resumed)
        run.accelerator.wait_for_everyone()
    return folder


def _from_here(run: Run, ahead: Preview) -> Preview:
    """What is left to be done, where the run stands."""
    steps = run.recipe.steps
    if run.step < steps:
        title = f"{run.recipe.name}: from {run.recipe.base or 'random weights'}, on {run.device}"
        on = (f"goes on from step {run.step:,}",) if run.step else ()
        return replace(ahead, facts=(title, *ahead.facts, *on))
    if is_finished(run.folder):
        return Preview(
            (f"{run.folder} holds this run, finished at step {steps:,}: it stays as it is. Another folder (--out) begins anew",)
        )
    return Preview((f"all {steps:,} steps are taken: the model is written",))


def _train(
    run: Run,
    data: PairData | None,
    held_out: PairData | None,
    workers: int,
    command: str,
    report: Report | None,
    ahead: Preview,
    resumed: bool,
) -> None:
    """From where the run stands to its end."""
    recipe = run.recipe
    if not resumed:
        run.save()
    if run.reference is not None:
        # The same captions on all processes, and again after a stop.
        read_evenly(run, make_batches(run, data, Share(0, run.processes))[0])
    validation = Validation(run, held_out) if recipe.validate_on else None
    skips = Skips(recipe.broken)
    figures: dict[str, float] = {}
    bar = tqdm(total=recipe.steps, initial=run.step, desc=recipe.name, mininterval=5, disable=not run.main)
    written = journal(run.folder, run.step) if run.main else nullcontext(lambda row: None)
    with written as write, asked_to_stop() as asked, bar:
        batches = _loader(run, data, workers)
        run.train_mode()
        tick = time.perf_counter()
        while run.step < recipe.steps:
            values = run.update(_counted(islice(batches, recipe.accumulate), skips))
            now = time.perf_counter()
            run.seconds, tick = run.seconds + now - tick, now
            bar.update()
            last = run.step == recipe.steps
            measured = validation and (last or recipe.validate_every and run.step % recipe.validate_every == 0)
            if measured:
                figures = validation.measure(run)
                values |= figures
                tick = time.perf_counter()
            if run.step % max(1, min(_LOG_EVERY, recipe.steps // _LOG_ROWS)) == 0 or last or measured:
                bar.set_postfix({name: f"{value:.3f}" for name, value in values.items() if "R@" not in name}, refresh=False)
                write({"step": run.step, "seconds": round(run.seconds, 1), "learning rate": run.rate} | values)
            stop = _agreed(run, asked() or (report is not None and not report(run.step, values)))
            if run.step % recipe.save_every == 0 or last or stop:
                run.save()
            if stop and not last:
                raise Interrupted(f"stopped at step {run.step} of {recipe.steps}; the same command goes on from there")
        if data is not None:
            skips.finish()
    if validation and not figures:  # killed between the last step and the model
        figures = validation.measure(run)
    if run.main:
        for line in (*(data.skipped if data else ()), *([skips.report()] if skips.broken else [])):
            print(line)
        write_model(run, command, figures, name_data(data), ahead, validation.count if validation else 0)


def _loader(run: Run, data: PairData | None, workers: int) -> Iterator[Batch]:
    """Batches from where the run stands."""
    numbers = range(run.step * run.recipe.accumulate, run.recipe.steps * run.recipe.accumulate)
    return load_batches(make_batches(run, data), numbers, workers)


def _counted(batches: Iterator[Batch], skips: Skips) -> Iterator[Batch]:
    for batch in batches:
        skips.add(batch.tried, batch.skipped)
        yield batch


def _agreed(run: Run, stop: bool) -> bool:
    """Whether any process is to stop, as all then must."""
    if run.processes == 1:
        return stop
    flag = torch.tensor(float(stop), device=run.device)
    dist.all_reduce(flag)
    return flag.item() > 0
