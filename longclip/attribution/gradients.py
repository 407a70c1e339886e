"""Attribution by gradients: integrated gradients and gradient × input, of token embeddings and of pixels.

Integrated gradients (Sundararajan et al., "Axiomatic attribution for deep networks", 2017) are captum's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..encoder import Progress
from .match import Attribution, Match
from .removal import FILLER
from .units import Unit

STEPS = 64
# Steps that go through the model at a time.
_BATCH = 8

Score = Callable[[Tensor], Tensor]
"""Inputs [n, …] -> scores [n], differentiable."""


def integrated_gradients(
    match: Match, level: str = "words", steps: int = STEPS, filler: str = FILLER, progress: Progress | None = None
) -> Attribution:
    """Gradients of the score on the straight way from the filler to each token's embedding, added up over a unit's tokens.

    `base` is the score of a caption of fillers (as the removal "replace" leaves it), `gap` what the values miss of
    score - base: completeness, exact in the limit of many steps. Raises ValueError for a filler that is not one token.
    """
    finish = match.begin("integrated-gradients", level)
    units = match.units(level)
    whole, empty, score = _embeddings(match, units, filler)
    values = _over_units(integrate(score, whole, empty, steps, progress), units)
    match.passes += steps
    base = match.scores([match.without(units, "replace", filler)])[0]
    return finish(values, base=float(base), gap=float(values.sum() - (match.score - base)))


def gradient_times_input(match: Match, level: str = "words", filler: str = FILLER) -> Attribution:
    """The gradient at the caption itself times what its tokens' embeddings have over the filler's: one pass, a quick look."""
    finish = match.begin("gradient-x-input", level)
    units = match.units(level)
    whole, empty, score = _embeddings(match, units, filler)
    values = _over_units(slope(score, whole) * (whole - empty), units)
    match.passes += 1
    return finish(values)


def integrate(score: Score, inputs: Tensor, base: Tensor, steps: int = STEPS, progress: Progress | None = None) -> Tensor:
    """Integrated gradients of one input [1, …] from a base of the same shape, by Gauss-Legendre quadrature.

    progress: hears of each batch of steps, and may raise to stop.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; wanted 1 or more")
    from captum.attr import IntegratedGradients

    done = 0

    def watched(x: Tensor) -> Tensor:
        nonlocal done
        done += len(x)
        if progress:
            progress(done, steps)
        return score(x)

    with torch.enable_grad():
        found = IntegratedGradients(watched).attribute(inputs, base, n_steps=steps, internal_batch_size=min(_BATCH, steps))
    return found.detach()


def slope(score: Score, inputs: Tensor) -> Tensor:
    """The gradient of the scores at the inputs [n, …]."""
    with torch.enable_grad():
        inputs = inputs.detach().requires_grad_()
        return torch.autograd.grad(score(inputs).sum(), inputs)[0]


def _embeddings(match: Match, units: tuple[Unit, ...], filler: str) -> tuple[Tensor, Tensor, Score]:
    """What enters the blocks for the caption and for one of fillers, [1, L, width] each, and the score of such."""
    device, direction = match.encoder.device, match.direction.to(match.encoder.device)
    columns = torch.tensor([match.caption.columns], device=device)

    def embed(ids: tuple[int, ...]) -> Tensor:
        with torch.no_grad(), match.encoder.turn() as model:
            return model.embed_tokens(torch.tensor([ids], device=device), columns)

    def score(x: Tensor) -> Tensor:
        ends = torch.full((len(x),), x.shape[1] - 1, device=device)
        with match.encoder.turn() as model:
            return model.encode_embedded(x, ends, normalize=True) @ direction

    return embed(match.caption.ids), embed(match.without(units, "replace", filler).ids), score


def _over_units(values: Tensor, units: tuple[Unit, ...]) -> np.ndarray:
    """[1, L, width] added up over each unit's tokens, float64 [units]."""
    tokens = values[0].double().sum(-1).cpu().numpy()
    return np.array([tokens[unit.first : unit.last].sum() for unit in units])
