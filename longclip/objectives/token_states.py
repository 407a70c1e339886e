"""Token states: hidden states of the text tower kept near another model's, for pipelines that were trained to read those."""

from __future__ import annotations

import torch
from torch import Tensor

# Added to variances: directions that hardly vary say nothing.
_LEAST_VARIANCE = 0.02


def even_reading(states: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [width] of states [n, width], and the symmetric [width, width] after which they vary alike in all directions.

    What tells one word from another lies in directions in which CLIP's states vary little. Raises ValueError for fewer than
    two states a direction.
    """
    if len(states) < 2 * states.shape[1]:
        raise ValueError(f"got {len(states)} text states, wanted at least {2 * states.shape[1]}")
    variances, directions = torch.linalg.eigh(torch.cov(states.T))
    return states.mean(0), directions / (variances + _LEAST_VARIANCE).sqrt() @ directions.T


def token_state_loss(states: Tensor, reference: Tensor, counted: Tensor, reading: Tensor | None = None) -> Tensor:
    """Mean squared distance of hidden states to the frozen reference's over each text's counted positions, mean of all texts.

    states, reference: [n, L, width], after the final norm; counted: bool [n, L], at least one a text. What a text weighs does
    not depend on how wide the others make the batch. reading: [width, width], what states are multiplied with before they are
    compared (`even_reading`); none: all count as they are. Raises ValueError where shapes differ.
    """
    if states.shape != reference.shape or states.ndim != 3 or counted.shape != states.shape[:2]:
        shapes = f"{list(states.shape)}, the reference's {list(reference.shape)}, counted {list(counted.shape)}"
        raise ValueError(f"token states are {shapes}; wanted [n, L, width] twice and [n, L]")
    differences = states - reference.detach()
    if reading is not None:
        differences = differences @ reading
    return ((differences.square().mean(2) * counted).sum(1) / counted.sum(1)).mean()
