"""Knowledge-preserved stretching of a table of positional embeddings (Long-CLIP, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def stretched_length(length: int, keep: int = 20, ratio: int = 4) -> int:
    """Rows of a table of `length` rows once stretched: 77 -> 248 with the defaults."""
    return ratio * length - (ratio - 1) * keep


def stretch_positions(table: Tensor, keep: int = 20, ratio: int = 4) -> Tensor:
    """Stretch a table [n, width] to [ratio * n - (ratio - 1) * keep, width], in the table's precision.

    The first `keep` rows, the well-trained ones, are copied. Row p behind them is read at
    x = keep + (p - keep) / ratio, linearly between the rows floor(x) and floor(x) + 1 of the old table; beyond its
    last row the line through the last two rows goes on. The table given is not changed.

    Raises ValueError for a table that is not [n, width], for n <= keep + 1 (nothing to interpolate between),
    keep < 0 and ratio < 1.
    """
    if ratio < 1 or keep < 0:
        raise ValueError(f"got keep={keep} and ratio={ratio}, wanted keep >= 0 and ratio >= 1")
    if table.ndim != 2:
        raise ValueError(f"got a table of shape {list(table.shape)}, wanted [n, width]")
    rows = table.shape[0]
    if rows <= keep + 1:
        raise ValueError(f"got a table of {rows} rows, wanted more than keep + 1 = {keep + 1}")
    old = table if table.dtype == torch.float64 else table.float()
    steps = torch.arange(ratio * (rows - keep), device=table.device)
    left = (keep + steps // ratio).clamp(max=rows - 2)  # beyond the last row the weight exceeds 1: extrapolation
    weight = (keep + steps.to(old.dtype) / ratio - left).unsqueeze(1)
    tail = old[left] + weight * (old[left + 1] - old[left])
    return torch.cat([table[:keep], tail.to(table.dtype)])


def interpolate_positions(table: Tensor, length: int) -> Tensor:
    """A table [n, width] resampled to [length, width] by linear interpolation of all rows, first and last kept.

    What the paper compares with: every position moves. open_clip resizes a text table of another length in this way too, but
    does not align the corners (`align_corners=False`), so its rows are read a little further inwards or outwards.
    """
    if table.ndim != 2 or length < 2:
        raise ValueError(f"got a table of shape {list(table.shape)} and length {length}, wanted [n, width] and 2 or more")
    resampled = F.interpolate(table.float().T[None], size=length, mode="linear", align_corners=True)
    return resampled[0].T.to(table.dtype)
