"""Checks of an explanation: does the score do what the attribution says, and does it name what is known to be true?

Of the score: deletion and insertion (Petsiuk et al., "RISE", 2018), random coalitions (after Bhatt et al., "Evaluating and
aggregating feature-based model explanations", 2020), randomised parameters (Adebayo et al., "Sanity checks for saliency
maps", 2018). Of the truth: the pointing game (Zhang et al., "Top-down neural attention by excitation backprop", 2016), and
which word of a counterfactual is blamed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from ..attribution import Attribution, Match, Unit
from ..attribution.removal import REMOVAL
from ..encoder import Encoder
from ..picturebook.pages import CHANGES, Counterfactual, Page, counterfactual
from ..tokens import Tokenizer

STEPS = 10
COALITIONS = 40
# Values that differ by less than this share of their range are the same: what rounding leaves.
_TIE = 1e-6
# Attempts to find a counterfactual that changes nothing but what stands beyond some token.
_ATTEMPTS = 12

Spans = Sequence[tuple[int, int]]


def measure_orders(
    match: Match, found: Attribution, generator: np.random.Generator, removal: str = REMOVAL
) -> tuple[float, float]:
    """Mean score while the highest words go first, in tenths of the caption, and while they come first.

    Low and high are better. Equal values are put in random order, so that an attribution of zeros gives the baseline.
    """
    seen = found.seen
    order = generator.permutation(seen)
    order = order[np.argsort(-found.values[order], kind="stable")]
    cuts = [round(len(order) * step / STEPS) for step in range(STEPS + 1)]
    gone = [order[:cut] for cut in cuts] + [order[cut:] for cut in cuts]
    scores = match.scores([match.without([found.units[number] for number in numbers], removal) for numbers in gone])
    deletion, insertion = (np.trapezoid(part) / STEPS for part in (scores[: STEPS + 1], scores[STEPS + 1 :]))
    return float(deletion), float(insertion)


def draw_coalitions(
    match: Match, generator: np.random.Generator, count: int = COALITIONS, removal: str = REMOVAL
) -> tuple[np.ndarray, np.ndarray]:
    """Random sets of words, of random size, as bool [count, units], and the scores [count] of the caption with these alone."""
    units = match.units()
    seen = np.array([unit.seen for unit in units])
    kept = (generator.random((count, len(units))) < generator.random((count, 1))) & seen
    gone = [[unit for unit, stays in zip(units, row, strict=True) if not stays] for row in kept]
    return kept, match.scores([match.without(removed, removal) for removed in gone])


def correlate(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's correlation; None where one of them does not vary."""
    if len(a) < 2 or not np.ptp(a) or not np.ptp(b):
        return None
    return float(np.corrcoef(a, b)[0, 1])


def correlate_ranks(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's correlation: that of the ranks, equal values sharing theirs; None where one of them does not vary."""
    return correlate(_ranks(a), _ranks(b)) if correlate(a, b) is not None else None


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[places]


def randomise(encoder: Encoder, seed: int = 0) -> Encoder:
    """The encoder with every tensor of its text tower shuffled: as large numbers as before, and nothing learned."""
    model = copy.deepcopy(encoder.model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.startswith(("visual.", "logit_")):
                weight.copy_(
                    weight.flatten()[torch.randperm(weight.numel(), generator=generator).to(weight.device)].view_as(weight)
                )
    return Encoder(encoder.spec, model, encoder.tokenizer, encoder.preprocessing)


def share_first(values: np.ndarray, hits: np.ndarray) -> float:
    """Whether the highest of the values is a hit, 1 or 0; the share of hits among those that are equally high."""
    return float(hits[values >= values.max() - _TIE * np.ptp(values)].mean())


def touches(found: Attribution, spans: Spans) -> np.ndarray:
    """Which units have a character within one of the spans: bool [units]."""
    return np.array([any(unit.start < end and start < unit.end for start, end in spans) for unit in found.units])


def draw_counterfactual(page: Page, number: int, tokenizer: Tokenizer | None = None) -> Counterfactual | None:
    """A counterfactual of page `number`, the kinds of change in turn; with a tokenizer, one that changes only what it does
    not read of either caption. None where there is none."""
    for attempt in range(_ATTEMPTS):
        found = counterfactual(page, attempt, CHANGES[(number + attempt) % len(CHANGES)])
        if found and (tokenizer is None or _lies_beyond(found, page, tokenizer)):
            return found
    return None


def _lies_beyond(found: Counterfactual, page: Page, tokenizer: Tokenizer) -> bool:
    sides = ((page.long.text, found.removed), (found.page.long.text, found.added))
    return all(min(start for start, _ in spans) >= tokenizer(text).unseen_start for text, spans in sides)


def point(map: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Whether a map's highest cell shows the thing (the share among equally high ones), and the share of the map's positive
    part that lies on the thing.

    map: [rows, columns]. mask: how much of each cell shows the thing, [rows, columns]. A map of zeros gives chance: the share
    of cells that show it, and the thing's share of the picture.
    """
    hit = share_first(map.ravel(), mask.ravel() > 0)
    positive = np.clip(map, 0, None)
    return hit, float((positive * mask).sum() / positive.sum()) if positive.any() else float(mask.mean())


def words_of_things(page: Page, units: Sequence[Unit]) -> list[tuple[str, int, list[Unit]]]:
    """(what it is, number of the thing, the words) of a page's long caption, as far as they are read.

    "subject": its name. Of each other thing "name", "colour" and "phrase", the first that names it, speaking of nothing else.
    """
    found = []
    phrases = [phrase for phrase in page.long.phrases if len(phrase.things) == 1]
    for number, thing in enumerate(page.scene.things):
        head = thing.spec.name.split()[-1][:4]  # the beginning of the name, which one of several things shares
        for phrase in (phrase for phrase in phrases if phrase.things == (number,)):
            words = [unit for unit in units if phrase.start <= unit.start < phrase.end and unit.seen and not unit.mark]
            name = [unit for unit in words if unit.text.lower().startswith(head)]
            if name and number == 0:
                found.append(("subject", number, name[-1:]))
            elif name:
                colour = [unit for unit in words if unit.text.lower() == thing.colour]
                found += [("name", number, name[-1:]), ("phrase", number, words)]
                found += [("colour", number, colour)] if colour else []
            if name:
                break
    return found


def cell_masks(page: Page, grid: tuple[int, int], size: int = 256) -> np.ndarray:
    """How much of each cell of a grid shows each thing of a page: [things, rows, columns]."""
    masks = torch.as_tensor(page.scene.masks(size)).float()
    return torch.nn.functional.adaptive_avg_pool2d(masks, grid).numpy()
