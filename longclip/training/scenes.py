"""Batches of picture-book scenes of the split `train`, drawn as they are needed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import torch
from torch.utils.data import Dataset

from ..picturebook.captions import Plan, Sentence, realise
from ..picturebook.kinds import KINDS
from ..picturebook.pages import Page, counterfactual, draw_family, draw_page
from ..picturebook.scene import unseen_colour
from ..recipes import OptionError
from .batches import Batch, Share
from .recipe import Recipe

_SUBJECTS = [kind.name for kind in KINDS.values() if not kind.floats]


class SceneBatches(Dataset):
    """Batch number -> the rows of this process."""

    def __init__(self, recipe: Recipe, size: int, share: Share = Share()) -> None:  # noqa: B008 - frozen
        self.recipe, self.size, self.rows = recipe, size, share.rows(recipe.batch)
        if recipe.subjects > len(_SUBJECTS):
            raise OptionError("subjects", f"is {recipe.subjects}, and there are {len(_SUBJECTS)} kinds of subjects")

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.accumulate

    def __getitem__(self, step: int) -> Batch:
        recipe = self.recipe
        rng = Random(f"batch/{recipe.seed}/{step}")
        pages = self._pages(step, rng)
        told = [replace(page, plan=self._plan(page, step, rng)) for page in pages]
        pages, told = [pages[row] for row in self.rows], [told[row] for row in self.rows]
        pictures = np.stack([np.asarray(page.scene.draw(self.size)) for page in pages])
        return Batch(
            images=torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(),
            long=[page.long.text for page in told],
            short=self._short(pages, step) if recipe.uses_short else [],
            negative=[change_fact(page, step) for page in told] if recipe.hard_negatives else [],
            names=[page.scene.seed for page in pages],
        )

    def _plan(self, page: Page, step: int, rng: Random) -> Plan:
        recipe = self.recipe
        if recipe.captions == "web":
            return page.plan[:1] if step < recipe.first_steps else web_plan(page, rng, recipe.details)
        return long_plan(page, rng, recipe.summary_drop, recipe.sentences == "sample")

    def _short(self, pages: list[Page], step: int) -> list[str]:
        """The summaries, or, of the share that the recipe says, one to three of the other sentences."""
        plans = []
        for row, page in zip(self.rows, pages, strict=True):
            rng = Random(f"short/{self.recipe.seed}/{step}/{row}")
            summary, *others = page.plan
            detailed = rng.random() < self.recipe.short_details
            plans.append(tuple(rng.sample(others, min(len(others), rng.randint(1, 3)))) if detailed else (summary,))
        return [realise(plan, page.scene).text for plan, page in zip(plans, pages, strict=True)]

    def _pages(self, step: int, rng: Random) -> list[Page]:
        recipe = self.recipe
        if recipe.captions == "web":
            return self._web_pages(step, rng)
        families = int(recipe.batch * recipe.family_share) // recipe.family_size
        pages = []
        for number in range(families):
            index = step * families + number
            pages += draw_family("train", recipe.seed, index, recipe.family_size, late=index % 2 == 1)
        alone = recipe.batch - len(pages)
        others = [draw_page("train", recipe.seed, step * alone + number) for number in range(alone)]
        return pages + self._recast(others, rng)

    def _web_pages(self, step: int, rng: Random) -> list[Page]:
        """Independent pages; at first of one thing each before one and the same background: only the thing tells them apart."""
        recipe = self.recipe
        numbers = range(step * recipe.batch, (step + 1) * recipe.batch)
        if step >= recipe.first_steps:
            # Half of the web's pictures show one thing or few.
            return self._recast([draw_page("train", recipe.seed, i, ((0, 2), (3, 8))[i % 2]) for i in numbers], rng)
        pages = [draw_page("train", recipe.seed, i, (0, 0)) for i in numbers]
        one = rng.choice(pages).scene
        background = {"setting": one.setting, "time": one.time, "weather": one.weather}
        return [replace(page, scene=replace(page.scene, **background)) for page in pages]

    def _recast(self, pages: list[Page], rng: Random) -> list[Page]:
        """The pages with subjects of a few kinds, where the recipe says so: their settings and looks must be told apart too."""
        if not self.recipe.subjects:
            return pages
        kinds = rng.sample(_SUBJECTS, self.recipe.subjects)
        return [recast(page, kinds, rng) for page in pages]


def recast(page: Page, kinds: list[str], rng: Random) -> Page:
    """The page with its subject's kind drawn from `kinds`, where that breaks no rule of the split."""
    subject, *others = page.scene.things
    kind = rng.choice(kinds)
    if unseen_colour(kind) == subject.colour or any(thing.kind == kind for thing in others):
        return page
    return replace(page, scene=replace(page.scene, things=(replace(subject, kind=kind), *others)))


def web_plan(page: Page, rng: Random, details: float) -> Plan:
    """A caption as the web has them: most name the subject and the place alone, half of those its looks as well.

    A share `details` tells more: a thing or two beside that, a thing alone, or, one in five of them, three to five sentences.
    """
    summary, *others = page.plan
    portrait = Sentence("portrait", (0,), summary.seed)
    u = rng.random()
    if u < (1 - details) / 2:
        return (summary,)
    if u < 1 - details or len(page.scene.things) == 1:
        return (portrait,)
    if u < 1 - 0.7 * details:
        return (rng.choice((summary, portrait)), rng.choice(others))
    if u < 1 - 0.2 * details:
        return (rng.choice(others),)
    return (summary, *rng.sample(others, min(len(others), rng.randint(2, 4))))


def long_plan(page: Page, rng: Random, summary_drop: float, sample: bool = True) -> Plan:
    """A long caption, its summary left out with probability `summary_drop` (DeBias-CLIP).

    With `sample`, scenes that stand alone also lose some of their other sentences, one time in two; in a family every
    sentence may be the one that tells two members apart, so all are kept.
    """
    summary, *others = page.plan
    if sample and page.family is None and rng.random() < 0.5:
        others = rng.sample(others, rng.randint(min(3, len(others)), len(others)))
    return tuple(others) if rng.random() < summary_drop else (summary, *others)


def change_fact(page: Page, seed: int) -> str:
    """The page's caption with one fact of one thing changed; empty where the scene leaves no such change."""
    told = {number for sentence in page.plan for number in sentence.things}
    changed = counterfactual(page, seed, things=tuple(sorted(told)))
    return changed.page.long.text if changed else ""
