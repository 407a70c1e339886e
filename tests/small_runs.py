"""Recipes of models so small that a step takes milliseconds, shared by the tests of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from longclip.training.recipe import Recipe
from longclip.training.run import Run
from longclip.training.state import load_state

TINY = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1, "head_width": 64},
    "text_cfg": {"context_length": 77, "width": 64, "heads": 1, "layers": 1},
}
CLIP = Recipe(
    "tiny-clip",
    model=TINY,
    stretch="none",
    captions="web",
    objective="contrastive",
    smoothing=0.0,
    steps=6,
    batch=16,
    warmup=2,
    learning_rate=1e-3,
    validate_on=0,
)


def fine_tuning(base: Path, **changes) -> Recipe:
    """Four steps of Long-CLIP fine-tuning on scenes, half of them in families."""
    recipe = Recipe("tiny-longclip", str(base), steps=4, batch=40, warmup=1, learning_rate=5e-3, validate_on=0)
    return replace(recipe, **{"family_share": 0.5, "summary_drop": 0.7, "sentences": "sample"} | changes)


def weights(folder: Path) -> dict:
    """The newest state's weights, by open_clip's names."""
    return {name.removeprefix("model."): value for name, value in load_state(folder)["model"].items()}


def gradients(run: Run) -> dict:
    """A copy of the gradients, by name."""
    return {name: weight.grad.clone() for name, weight in run.model.named_parameters() if weight.grad is not None}
