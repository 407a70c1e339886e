"""The training loop: from a recipe to a model folder, on any number of devices, stopped and resumed at will."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ..data.pairs import PairData
from ..data.pictures import Skips
from ..data.readers import read_data
from .batches import Batch, Share, load_batches
from .card import write_model
from .pairs import PairBatches
from .recipe import PICTURE_BOOK, Recipe
from .run import Run, start
from .scenes import SceneBatches
from .step import read_evenly
from .stopping import Interrupted, asked_to_stop
from .validation import Validation

LOG = "log.jsonl"
_LOG_EVERY = 10

Report = Callable[[int, dict[str, float]], bool]
"""Called with the step and the figures of it; returning False ends the run, its state saved."""


def train(recipe: Recipe, folder: Path, workers: int = 1, command: str = "", report: Report | None = None) -> Path:
    """Run a recipe to its end, from wherever `folder` stands, and write the model into it. Returns the folder.

    Losses go to `log.jsonl` and TensorBoard's log, states to `state-*.pt`. Under `torchrun` or `accelerate launch` the
    processes share each batch. Ctrl-C, SIGTERM and `report` end the run after the step under way: the state is saved
    and Interrupted raised. Raises ValueError for a recipe that does not fit its data or its folder, FloatingPointError
    for a loss that is not finite, DataError where too many pictures cannot be read, OSError where a state cannot be written.
    """
    recipe, data, held_out = read_training_data(recipe)
    run = start(recipe, folder)
    resumed = run.resume()
    if run.main:
        folder.mkdir(parents=True, exist_ok=True)
    if not resumed:
        run.save()
    if run.reference is not None:
        # The same captions on all processes, and again after a stop.
        read_evenly(run, make_batches(run, data, Share(0, run.processes))[0])
    validation = Validation(run, held_out) if recipe.validate_on else None
    skips = Skips(recipe.broken)
    figures: dict[str, float] = {}
    bar = tqdm(total=recipe.steps, initial=run.step, desc=recipe.name, mininterval=5, disable=not run.main)
    with _journal(run) as write, asked_to_stop() as asked, bar:
        batches = iter(_loader(run, data, workers))
        run.towers.train()
        tick = time.perf_counter()
        while run.step < recipe.steps:
            values = run.update(_counted(islice(batches, recipe.accumulate), skips))
            now = time.perf_counter()
            run.seconds, tick = run.seconds + now - tick, now
            bar.update()
            last = run.step == recipe.steps
            if validation and (last or recipe.validate_every and run.step % recipe.validate_every == 0):
                figures = validation.measure(run)
                values |= figures
                tick = time.perf_counter()
            if run.step % _LOG_EVERY == 0 or last or figures.keys() <= values.keys() and figures:
                bar.set_postfix({name: f"{value:.3f}" for name, value in values.items() if "R@" not in name}, refresh=False)
                write(values)
            stop = _agreed(run, asked() or (report is not None and not report(run.step, values)))
            if run.step % recipe.save_every == 0 or last or stop:
                run.save()
            if stop and not last:
                raise Interrupted(f"stopped at step {run.step} of {recipe.steps}; the same command goes on from there")
        if data is not None:
            skips.finish()
    if run.main:
        for line in (*(data.skipped if data else ()), *([skips.report()] if skips.broken else [])):
            print(line)
        write_model(run, command, figures, name_data(data))
    run.accelerator.wait_for_everyone()
    return folder


def read_training_data(recipe: Recipe) -> tuple[Recipe, PairData | None, PairData | None]:
    """The recipe with its number of steps, and the pairs to train and to validate on (None: the picture book)."""
    if recipe.data == PICTURE_BOOK:
        if not recipe.steps:
            raise ValueError("steps is 0, and the picture book has no end: say how many steps to train")
        return recipe, None, None
    data, held_out = read_data(recipe.data, recipe.pictures).split(recipe.held_out)
    steps = recipe.steps or math.ceil(recipe.epochs * len(data.pairs) / (recipe.batch * recipe.accumulate))
    return replace(recipe, steps=steps), data, held_out


def name_data(data: PairData | None) -> str:
    """What a model was trained on, for its card."""
    return "scenes of the picture book" if data is None else f"{len(data.pairs):,} pairs of {data.name}"


def make_batches(run: Run, data: PairData | None, share: Share | None = None) -> Dataset[Batch]:
    """Batch number -> this process's rows (or of `share`), of scenes (no data) or of pairs; it depends on its number alone."""
    share = share or run.share
    if data is None:
        return SceneBatches(run.recipe, run.look.size[0], share)
    return PairBatches(run.recipe, data, run.look, share)


def _loader(run: Run, data: PairData | None, workers: int) -> DataLoader:
    """Batches from where the run stands."""
    recipe = run.recipe
    return load_batches(make_batches(run, data), range(run.step * recipe.accumulate, recipe.steps * recipe.accumulate), workers)


def _counted(batches: Iterator[Batch], skips: Skips) -> Iterator[Batch]:
    for batch in batches:
        skips.add(len(batch), batch.skipped)
        yield batch


@contextmanager
def _journal(run: Run) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that logs the figures of a step; nothing on any process but the first."""
    if not run.main:
        yield lambda values: None
        return
    with (run.folder / LOG).open("a", encoding="utf-8") as log, SummaryWriter(str(run.folder / "tensorboard")) as board:

        def write(values: dict[str, float]) -> None:
            row = {"step": run.step, "seconds": round(run.seconds, 1), "learning rate": run.rate} | values
            log.write(json.dumps(row) + "\n")
            log.flush()
            for name, value in row.items():
                board.add_scalar(name.replace("@", " at "), value, run.step)

        yield write


def _agreed(run: Run, stop: bool) -> bool:
    """Whether any process is to stop, as all then must."""
    if run.processes == 1:
        return stop
    flag = torch.tensor(float(stop), device=run.device)
    dist.all_reduce(flag)
    return flag.item() > 0
