"""Order of texts of unequal length in which almost no padding is computed.

Texts are sorted by length and laid end to end in one list of rows, so that the linear layers see tokens only.
Attention needs rectangles: neighbours of (nearly) equal length form a *group* [count, length]. Groups in sequence
form a *chunk*, which is what passes through the layers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Group = tuple[int, int]
"""(count, length): so many texts, each so many rows, the shorter ones padded."""


@dataclass(frozen=True)
class Packing:
    """Where each row of the packed list comes from. `order`, `texts`, `columns` and `ends` are on the ids' device."""

    order: Tensor
    """[n] the texts in packed order."""
    texts: Tensor
    """[rows] the text (number in the caller's order) of each row."""
    columns: Tensor
    """[rows] the position of each row in its text."""
    ends: Tensor
    """[n] the position of each text's end token, in packed order."""
    chunks: list[list[Group]]


def form_groups(lengths: Sequence[int], slack: int) -> list[Group]:
    """Cut ascending `lengths` into groups, each with at most `slack` rows of padding."""
    groups: list[Group] = []
    start = total = 0
    for i, length in enumerate(lengths):
        if length * (i + 1 - start) - (total + length) > slack:
            groups.append((i - start, lengths[i - 1]))
            start, total = i, 0
        total += length
    if lengths:
        groups.append((len(lengths) - start, lengths[-1]))
    return groups


def form_chunks(groups: Sequence[Group], rows: int) -> list[list[Group]]:
    """Gather groups, in sequence, into chunks of about `rows` rows, none over `rows` unless one text alone is."""
    chunks: list[list[Group]] = []
    space = 0
    for count, length in groups:
        while count:
            if space < length:
                chunks.append([])
                space = rows
            taken = max(1, min(count, space // length))
            chunks[-1].append((taken, length))
            space -= taken * length
            count -= taken
    return chunks


def pack(ends: Tensor, slack: int, rows: int) -> Packing:
    """Plan the rows of texts whose end tokens stand at `ends` [n]."""
    ends, order = torch.sort(ends)
    groups = form_groups((ends + 1).tolist(), slack)
    counts, widths = torch.tensor(groups, device=ends.device).unbind(1)
    lengths = torch.repeat_interleave(widths, counts)
    starts = torch.cumsum(lengths, 0) - lengths
    columns = torch.arange(int(lengths.sum()), device=ends.device) - torch.repeat_interleave(starts, lengths)
    return Packing(order, torch.repeat_interleave(order, lengths), columns, ends, form_chunks(groups, rows))
