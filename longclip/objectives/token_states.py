"""Preservation of the token states, which a text-to-image pipeline reads: they stay close to another model's."""

from __future__ import annotations

import torch
from torch import Tensor


def token_state_loss(states: Tensor, reference: Tensor, ends: Tensor) -> Tensor:
    """Mean squared distance of hidden states to the frozen reference's, over all positions of all texts but one.

    states, reference: [n, L, width], after the final norm; the positions behind a text's end count, as a U-Net attends to them
    too. ends: [n], where each text's end token stands: its state is the text's feature, which is there to be changed, and
    does not count. Raises ValueError where shapes differ.
    """
    if states.shape != reference.shape or states.ndim != 3:
        raise ValueError(
            f"token states are {list(states.shape)} and the reference's {list(reference.shape)}; wanted [n, L, width] twice"
        )
    distance = (states - reference.detach()).square().mean(-1)
    kept = torch.ones_like(distance).scatter(1, ends[:, None], 0.0)
    return (distance * kept).sum() / kept.sum()
