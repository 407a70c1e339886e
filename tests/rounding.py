"""How much of a difference rounding explains, so that no test holds only on the machine that it was written on.

CPUs add in other orders (vector width, blocks, fused products, threads), and so round differently. A test that can
compute in float64, on both sides, does so and allows `EXACT`. One of what exists in float32 only allows `rounding`.
"""

from __future__ import annotations

import math

import torch

EXACT = 1e-10
"""The difference that two ways to compute the same in float64 may have: half a million roundings of values near 1."""

SAFETY = 8


def rounding(count: int, size: float = 1.0, dtype: torch.dtype = torch.float32) -> float:
    """The difference that two ways to compute the same may have after `count` roundings of values of at most `size`.

    Each rounding is off by up to half a unit in the last place, up or down as by chance; so they add up to the square
    root of their number; and `SAFETY` times that, for chains that make errors larger. Count what one number of the result
    goes through: n for a sum of n products, and the sums of all layers of a network, one after another.
    """
    return SAFETY * math.sqrt(count) * torch.finfo(dtype).eps / 2 * size
