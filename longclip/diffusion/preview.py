"""What `train-diffusion` is about to do, said before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from ..training.schedule import shares, warmup_steps
from .recipe import DiffusionRecipe


def preview(recipe: DiffusionRecipe, stages: Sequence[str]) -> list[str]:
    """A line for each stage that trains, with its steps, rows and highest learning rate, and one where that is not reached."""
    trained = {
        "autoencoder": (recipe.autoencoder_steps, recipe.autoencoder_batch, recipe.autoencoder_rate),
        "detector": (recipe.detector_steps, recipe.detector_batch, recipe.detector_rate),
        "unet": (recipe.steps, recipe.batch, recipe.learning_rate),
    }
    # The autoencoder comes before all others; a base brings its own parts.
    wanted = ["unet"] if recipe.base is not None else ["autoencoder", *(name for name in trained if name != "autoencoder")]
    lines = []
    for name in wanted:
        if name in stages or name == "autoencoder":
            steps, batch, rate = trained[name]
            warmup = warmup_steps(recipe.warmup, steps)
            highest = rate * shares(warmup, steps)[0]
            lines.append(
                f"{name}: {steps:,} steps of {batch:,} scenes, learning rate up to {highest:.2g}, warm-up {warmup:,} steps"
            )
            if highest < 0.99 * rate:
                lines.append(
                    f"warning: the learning rate of {name} gets to {highest:.2g} of {rate:.2g}, as warm-up takes {warmup:,} "
                    f"steps of {steps:,}; --warmup 0.1 makes it a tenth of them"
                )
    return lines
