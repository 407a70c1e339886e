"""A run that stands still: the recall it begins from, and the model as it is at the step where it was ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .card import write_model
from .loop import name_data, read_training_data
from .recipe import Recipe
from .run import start
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
    recipe, data, held_out = read_training_data(recipe)
    run = start(recipe, folder)
    if not run.resume():
        raise FileNotFoundError(f"{folder} holds no state of a run to make a model of")
    figures = Validation(run, held_out).measure(run) if recipe.validate_on else {}
    write_model(run, command, figures, name_data(data))
    return figures
