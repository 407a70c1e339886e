"""The losses a recipe asks for, from the features of a whole batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..objectives.contrastive import contrastive_loss
from ..objectives.hard_negatives import hard_negative_loss
from ..objectives.positive_pairs import mean_negative_cosine, positive_pair_loss
from ..objectives.primary_component import primary_component_losses
from ..objectives.self_distillation import self_distillation_loss
from ..objectives.square import square_loss
from .recipe import Recipe


@dataclass(frozen=True)
class Features:
    """Unit-length features [n, dim] of a batch over all processes, and the logit scale.

    short and negative are None where the recipe needs none; present [n] says which rows of negative are captions at all.
    """

    image: Tensor
    long: Tensor
    scale: Tensor
    short: Tensor | None = None
    negative: Tensor | None = None
    present: Tensor | None = None


def weigh_losses(recipe: Recipe, features: Features, progress: float, processes: int = 1) -> dict[str, Tensor]:
    """Named losses, weighted: their sum is what is minimised. progress: share of the training that is done, 0 to 1."""
    image, long, scale = features.image, features.long, features.scale
    soft = recipe.distillation * progress
    losses = {}
    if recipe.objective == "primary-component":
        assert features.short is not None
        blocks = processes if recipe.components_of == "process" else 1
        through = recipe.basis == "differentiated"
        losses = primary_component_losses(
            image, long, features.short, scale, recipe.components, recipe.smoothing, through, blocks
        )
        losses["short"] = recipe.short_weight * losses["short"]
    elif recipe.objective == "square":
        losses["square"] = square_loss(image, long)
    else:
        losses["contrastive"] = contrastive_loss(image, long, scale, recipe.smoothing)
    if recipe.distillation:
        # In place of the one-hot targets of the term that matches the long captions.
        losses["long" if "long" in losses else "contrastive"] = self_distillation_loss(image, long, scale, soft)
    if recipe.positive_pairs:
        losses["positive pairs"] = recipe.positive_pairs * positive_pair_loss(image, long)
    if recipe.hard_negatives:
        assert features.negative is not None and features.present is not None
        hard = hard_negative_loss(image, long, features.negative, features.present, scale, recipe.smoothing)
        losses["hard negatives"] = recipe.hard_negatives * hard
    return losses


@torch.no_grad()
def watch(features: Features) -> dict[str, float]:
    """What is logged beside the losses: the mean cosine of pairs and of the others, and the temperature."""
    image, long = features.image, features.long
    return {
        "positive cosine": -positive_pair_loss(image, long).item(),
        "negative cosine": mean_negative_cosine(image, long).item(),
        "temperature": 1 / features.scale.item(),
    }
