"""Preservation of the token states, which a text-to-image pipeline reads: they stay close to another model's."""

from __future__ import annotations

from torch import Tensor


def token_state_loss(states: Tensor, reference: Tensor, counted: Tensor) -> Tensor:
    """Mean squared distance of hidden states to the frozen reference's over each text's counted positions, mean of all texts.

    states, reference: [n, L, width], after the final norm; counted: bool [n, L], at least one a text. What a text weighs does
    not depend on how wide the others make the batch. Raises ValueError where shapes differ.
    """
    if states.shape != reference.shape or states.ndim != 3 or counted.shape != states.shape[:2]:
        shapes = f"{list(states.shape)}, the reference's {list(reference.shape)}, counted {list(counted.shape)}"
        raise ValueError(f"token states are {shapes}; wanted [n, L, width] twice and [n, L]")
    distances = (states - reference.detach()).square().mean(2) * counted
    return (distances.sum(1) / counted.sum(1)).mean()
