"""Features of many variants of one caption, each computed only from its first change on.

Attention is causal: in front of the first change the keys and values of every block are those of the caption itself, and
what stands behind the end token is never read. Variants that begin to differ at nearly the same place go through attention
together, all of them through the linear layers as one list of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from ..blocks import is_plain
from ..encoder import Encoder, Progress
from ..packing import Group, form_chunks
from ..tokens import pad
from .removal import Variant

# Rows that pass through the layers at once: a call of the model is short, so that others get their turn and a stop is heard.
_ROWS = 1024
# What a call of attention costs, as (width of the model)² times the rows that are computed in the same time.
_CALL = 400_000
# Variants at a time where a model's blocks are none that take a prefix.
_BATCH = 32


def variant_features(
    encoder: Encoder, caption: Variant, variants: Sequence[Variant], progress: Progress | None = None
) -> tuple[Tensor, int]:
    """Unit-length features [n, dim] of variants of a caption, and how many texts were computed: equal ones only once.

    progress: hears of each batch, and may raise to stop.
    """
    numbers = {variant: number for number, variant in enumerate(dict.fromkeys(variants))}
    distinct = list(numbers)
    compute = _from_prefix if is_plain(encoder.model.transformer) else _from_start
    features = torch.empty(len(distinct), encoder.dim)
    done = 0
    with torch.inference_mode():
        for rows, part in compute(encoder, caption, distinct):
            features[rows] = part.float().cpu()
            done += len(rows)
            if progress:
                progress(done, len(distinct))
    return features[[numbers[variant] for variant in variants]], len(distinct)


def _from_prefix(encoder: Encoder, caption: Variant, variants: Sequence[Variant]) -> Iterator[tuple[list[int], Tensor]]:
    """(numbers of variants, their features), a batch at a time."""
    device = encoder.device
    starts = [_shared(caption, variant) for variant in variants]
    order = sorted(range(len(variants)), key=lambda number: (starts[number], len(variants[number])))
    slack = 1024 if device.type == "cuda" else _CALL // encoder.model.transformer.width**2
    groups = form_prefix_groups([(starts[number], len(variants[number])) for number in order], slack)
    firsts = [0, *accumulate(count for count, _ in groups)]
    begins = [starts[order[first]] for first, (count, _) in zip(firsts, groups, strict=False) for _ in range(count)]
    with encoder.turn() as model:
        prefix = model.read_prefix(torch.tensor(caption.ids, device=device), torch.tensor(caption.columns, device=device))
    first = 0
    for chunk in form_chunks(groups, _ROWS):
        numbers, shared, ids, columns, ends = [], [], [], [], []
        for count, _ in chunk:
            members, begin = order[first : first + count], begins[first]
            first += count
            numbers += members
            shared.append(begin)
            ids.append(pad([variants[number].ids[begin:] for number in members]))
            columns.append(pad([variants[number].columns[begin:] for number in members]))
            ends += [len(variants[number]) - 1 - begin for number in members]
        with encoder.turn() as model:
            features = model.encode_behind(
                prefix,
                torch.cat([part.flatten() for part in ids]).to(device),
                torch.cat([part.flatten() for part in columns]).to(device),
                [tuple(part.shape) for part in ids],
                shared,
                torch.tensor(ends, device=device),
                normalize=True,
            )
        yield numbers, features


def _from_start(encoder: Encoder, caption: Variant, variants: Sequence[Variant]) -> Iterator[tuple[list[int], Tensor]]:
    """As `_from_prefix`, every variant computed whole, those of similar length together."""
    order = sorted(range(len(variants)), key=lambda number: len(variants[number]))
    for first in range(0, len(order), _BATCH):
        numbers = order[first : first + _BATCH]
        ids = pad([variants[number].ids for number in numbers]).to(encoder.device)
        columns = pad([variants[number].columns for number in numbers]).to(encoder.device)
        ends = torch.tensor([len(variants[number]) - 1 for number in numbers], device=encoder.device)
        with encoder.turn() as model:
            features = model.encode_embedded(model.embed_tokens(ids, columns), ends, normalize=True)
        yield numbers, features


def _shared(caption: Variant, variant: Variant) -> int:
    """How many tokens a variant begins with that the caption begins with too; its end token is never one of them."""
    pairs = zip(caption.ids, caption.columns, variant.ids[:-1], variant.columns, strict=False)
    return next((place for place, (a, b, c, d) in enumerate(pairs) if a != c or b != d), min(len(caption), len(variant) - 1))


def form_prefix_groups(texts: Sequence[tuple[int, int]], slack: int) -> list[Group]:
    """Cut texts, (start of what differs, length) sorted by start, into groups (count, rows of each).

    All texts of a group are computed from the group's first start on, and filled up to its longest; at most `slack` of its
    rows are computed for nothing.
    """
    groups: list[Group] = []
    number = 0
    while number < len(texts):
        begin = texts[number][0]
        count = longest = needed = 0
        for start, length in texts[number:]:
            rows = max(longest, length - begin)
            if rows * (count + 1) - (needed + length - start) > slack:
                break
            count, longest, needed = count + 1, rows, needed + length - start
        # The first text alone is a group whatever the slack: nothing of it is computed for nothing.
        groups.append((count, longest))
        number += count
    return groups
