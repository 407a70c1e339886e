"""Preservation of the token states, which a text-to-image pipeline reads: they stay close to another model's."""

from __future__ import annotations

from torch import Tensor


def token_state_loss(states: Tensor, reference: Tensor) -> Tensor:
    """Mean squared distance of hidden states to the frozen reference's, over all positions of all texts.

    states, reference: [n, L, width], after the final norm; the positions behind a text's end count, as a U-Net attends to them
    too. Raises ValueError where shapes differ.
    """
    if states.shape != reference.shape or states.ndim != 3:
        raise ValueError(
            f"token states are {list(states.shape)} and the reference's {list(reference.shape)}; wanted [n, L, width] twice"
        )
    return (states - reference.detach()).square().mean()
