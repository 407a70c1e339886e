"""A run that stands still: the recall it begins from, and the model as it is at the step where it was ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .card import write_model
from .preview import preview
from .recipe import Recipe
from .run import start
from .sources import identify_data, name_data, read_training_data
from .validation import Validation


def measure_start(recipe: Recipe) -> dict[str, float]:
    """Recall at 1 in percent, by name, of a recipe's base on its held-out pairs: stretched as the recipe says, not trained."""
    recipe, _, held_out = read_training_data(replace(recipe, steps=recipe.steps or 1))
    run = start(recipe, Path())
    return Validation(run, held_out).measure(run)


def finish(recipe: Recipe, folder: Path, command: str = "") -> dict[str, float]:
    """Write the model of a run that was ended early, as its newest state has it. Returns its recall.

    Raises FileNotFoundError where the folder holds no state, ValueError where that belongs to another recipe.
    """
    given = recipe
    recipe, data, held_out = read_training_data(recipe)
    run = start(recipe, folder)
    run.origin["data"] = identify_data(data)
    if not run.resume():
        raise FileNotFoundError(f"{folder} holds no state of a run to make a model of")
    validation = Validation(run, held_out) if recipe.validate_on else None
    figures = validation.measure(run) if validation else {}
    ahead = preview(given, recipe, data, held_out, run.processes)
    write_model(run, command, figures, name_data(data), ahead, validation.count if validation else 0)
    return figures
