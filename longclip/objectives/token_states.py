"""Preservation of the token states, which a text-to-image pipeline reads: they stay close to the base model's."""

from __future__ import annotations

from torch import Tensor


def token_state_loss(states: Tensor, base: Tensor) -> Tensor:
    """Mean squared distance of hidden states to the frozen base's, over all positions of all texts.

    states, base: [n, L, width], after the final norm; the positions behind a text's end count, as a U-Net attends to them
    too. Raises ValueError where shapes differ.
    """
    if states.shape != base.shape or states.ndim != 3:
        raise ValueError(f"token states are {list(states.shape)} and the base's {list(base.shape)}; wanted [n, L, width] twice")
    return (states - base.detach()).square().mean()
