"""Preservation of the token states, which a text-to-image pipeline reads: they stay close to the base model's."""

from __future__ import annotations

from torch import Tensor


def token_state_loss(states: Tensor, base: Tensor, lengths: Tensor) -> Tensor:
    """Mean squared distance of hidden states to the frozen base's, over the tokens of each text, then over the texts.

    states, base: [n, L, width], after the final norm. lengths: [n], tokens of each text, start and end included; what
    stands behind is padding and is left out. Raises ValueError where shapes differ.
    """
    if states.shape != base.shape or states.ndim != 3:
        raise ValueError(f"token states are {list(states.shape)} and the base's {list(base.shape)}; wanted [n, L, width] twice")
    columns = lengths.new_tensor(range(states.shape[1]))
    real = (columns < lengths[:, None]).to(states.dtype)
    distance = (states - base.detach()).square().mean(-1)
    return ((distance * real).sum(1) / lengths).mean()
