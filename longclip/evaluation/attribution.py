"""Whether explanations of a match are true: methods of `longclip.attribution` against the score and the picture book."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..attribution import (
    REMOVALS,
    Attribution,
    Match,
    gradient_times_input,
    integrated_gradients,
    leave_one_out,
    shapley_values,
)
from ..attribution.length import average, position_changes
from ..attribution.pixels import gradient_map, grid_of, integrated_gradients_map, occlude, word_effects
from ..attribution.removal import Variant
from ..encoder import Encoder, Progress
from ..picturebook.pages import Counterfactual, Page
from . import truth
from .features import Features
from .length import banded

EXPLAINED = 40
BUDGET = 500
STEPS = 32
CLIP_LENGTH = 77
# Bounds between which positions are averaged: 20 is the first that Long-CLIP stretches, 77 the first that CLIP has not.
POSITIONS = (1, 10, 20, 40, 60, 77, 120, 180, 248)
# A map takes as many passes as there are steps, and there are four for each thing.
MAP_STEPS = 16

Method = Callable[[Match], Attribution]
METHODS: dict[str, Method] = {
    **{f"leave-one-out, {removal}": partial(leave_one_out, removal=removal) for removal in REMOVALS},
    "integrated gradients": partial(integrated_gradients, steps=STEPS),
    "gradient × input": gradient_times_input,
    "Shapley values": partial(shapley_values, budget=BUDGET),
    "random": lambda match: match.begin("random", "words")(np.zeros(len(match.units()))),
}
Samples = dict[str, dict[str, list[float | None]]]


class Remembered(Match):
    """A match that remembers the features it has computed, for matches of the same caption in other directions."""

    known: dict[tuple[Variant, ...], np.ndarray]

    def __init__(self, encoder: Encoder, text: str, direction: np.ndarray) -> None:
        super().__init__(encoder, text, direction)
        self.known = {}

    def features(self, variants: Sequence[Variant], progress: Progress | None = None) -> np.ndarray:
        wanted = tuple(variants)
        if wanted not in self.known:
            self.known[wanted] = super().features(variants, progress)
        return self.known[wanted]

    def towards(self, direction: np.ndarray) -> Remembered:
        other = type(self)(self.encoder, self.text, direction)
        other.known = self.known
        return other


def measure_attribution(features: Features, explained: int = EXPLAINED, seed: int = 0) -> dict[str, Any]:
    """For each method a curve {measure: mean}: "words by METHOD" and, of the picture book, "pixels by METHOD".

    Taken on the first `explained` captions of the set. Of words: "deletion" (mean cosine while the highest words go first; low
    is better), "insertion" (high is better), "agreement" (correlation of summed values and scores over random sets of words),
    "randomised" (rank correlation with the values of a model that has learned nothing; near 0 is better), "passes" and
    "seconds" a caption. Of the picture book also, in percent: "blame" (of all words of a caption with one wrong fact, the
    lowest is a wrong one) and "contrast" (of the right caption, the highest for this picture over one with that fact
    changed is of that fact), with "beyond 77" where the fact is told only beyond the 77th token. Of pixels see
    `measure_pixels`. "score change by position": how much the score changes when a token of these positions is masked, with
    "…, low" and "…, high" as in `measure_length`. "random" is no method: values that say nothing, and so chance.
    """
    encoder, data = features.encoder, features.data
    words: Samples = {name: defaultdict(list) for name in METHODS}
    pixels: Samples = {}
    changes: list[list[float]] = []
    randomised = truth.randomise(encoder, seed)
    for number, text in enumerate(data.long[:explained]):
        picture = data.pictures[int(features.owners[number])]
        direction = encoder.encode_image([picture])[0]
        match = Remembered(encoder, text, direction)
        _measure_words(match, Match(randomised, text, direction), words, [seed, number])
        changes.append(_by_position(position_changes(match)))
        if data.pages:
            page = data.pages[int(features.owners[number])]
            _measure_blame(match, page, number, words)
            measure_pixels(encoder, page, picture, direction, pixels)
    figures = {f"words by {name}": _means(found) for name, found in words.items()}
    figures |= {f"pixels by {name}": _means(found) for name, found in pixels.items()}
    names = [f"{start}–{end - 1}" for start, end in pairwise(POSITIONS)]
    return figures | banded("score change by position", names, average(np.array(changes), range(len(names)), seed))


def _measure_words(match: Match, randomised: Match, samples: Samples, seed: list[int]) -> None:
    kept, scores = truth.draw_coalitions(match, np.random.default_rng(seed))
    for name, method in METHODS.items():
        found = method(match)
        deletion, insertion = truth.measure_orders(match, found, np.random.default_rng(seed))
        row = samples[name]
        row["deletion"].append(deletion)
        row["insertion"].append(insertion)
        row["agreement"].append(truth.correlate(kept @ found.values, scores))
        row["randomised"].append(truth.correlate_ranks(found.values[found.seen], method(randomised).values[found.seen]))
        row["passes"].append(found.passes)
        row["seconds"].append(found.seconds)


def _measure_blame(match: Remembered, page: Page, number: int, samples: Samples) -> None:
    tokenizer = match.encoder.tokenizer.with_length(CLIP_LENGTH)
    drawn = {"": truth.draw_counterfactual(page, number), " beyond 77": truth.draw_counterfactual(page, number, tokenizer)}
    for where, other in drawn.items():
        if other is None:
            continue
        wrong, right = _counterfactual_matches(match, other)
        for name, method in METHODS.items():
            blamed, told = method(wrong), method(right)
            blame = truth.share_first(-blamed.values, truth.touches(blamed, other.added))
            contrast = truth.share_first(told.values, truth.touches(told, other.removed))
            samples[name][f"blame{where}"].append(100 * blame)
            samples[name][f"contrast{where}"].append(100 * contrast)
            if other.change == "colour":
                samples[name][f"contrast of colours{where}"].append(100 * contrast)


def _counterfactual_matches(match: Remembered, other: Counterfactual) -> tuple[Match, Match]:
    """The wrong caption with the picture, and the right one with the picture over the other picture."""
    direction = match.direction.numpy()
    changed = match.encoder.encode_image([other.page.scene.draw(256)])[0]
    return Match(match.encoder, other.page.long.text, direction), match.towards(direction - changed)


def measure_pixels(encoder: Encoder, page: Page, picture: Any, direction: np.ndarray, samples: Samples) -> None:
    """Adds to the samples of each method, in percent, how often a word's map is highest where the thing is ("… hit"), and how
    much of what is positive in the map lies on it ("… overlap").

    Of the subject's name; and of every other thing its name, its colour's word and the first phrase that names it, where
    the model reads them. A hit is a cell of the model's grid that shows any of the thing.
    """
    match = Match(encoder, page.long.text, direction)
    groups = truth.words_of_things(page, match.units())
    if not groups:
        return
    masks = truth.cell_masks(page, grid_of(encoder))
    effects = word_effects(match, [units for _, _, units in groups])
    began = time.perf_counter()
    occlusion = occlude(encoder, picture)
    methods = {
        "occlusion": occlusion.map,
        "integrated gradients": lambda effect: integrated_gradients_map(encoder, picture, effect, MAP_STEPS)[0],
        "gradient × input": lambda effect: gradient_map(encoder, picture, effect),
        "random": lambda effect: np.zeros(masks.shape[1:]),
    }
    for name, draw in methods.items():
        row = samples.setdefault(name, defaultdict(list))
        maps = [draw(effect) for effect in effects]
        for (kind, thing, _), map in zip(groups, maps, strict=True):
            hit, overlap = truth.point(map, masks[thing])
            row[f"{kind} hit"].append(100 * hit)
            row[f"{kind} overlap"].append(100 * overlap)
        row["seconds"].append(time.perf_counter() - began)
        began = time.perf_counter()


def _by_position(changes: np.ndarray) -> list[float]:
    """The means of `position_changes` between the bounds of POSITIONS; NaN where the caption has no token."""
    parts = [changes[start:end] for start, end in pairwise(POSITIONS)]
    return [float(part[~np.isnan(part)].mean()) if (~np.isnan(part)).any() else np.nan for part in parts]


def _means(samples: dict[str, list[float | None]]) -> dict[str, float | None]:
    means = {name: [value for value in values if value is not None] for name, values in samples.items()}
    return {name: round(float(np.mean(values)), 3) if values else None for name, values in means.items()}
