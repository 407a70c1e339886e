"""Batches of picture-book scenes and their captions: batch `step` of a seed is the same wherever and whenever it is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..picturebook.captions import Sentence, realise
from ..picturebook.kinds import KINDS
from ..picturebook.pages import Page, draw_family, draw_page
from ..picturebook.scene import unseen_colour
from .recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """images: uint8 [n, 3, size, size]. long, short: one caption a scene; short is empty where the objective needs none."""

    images: Tensor
    long: list[str]
    short: list[str]


class PictureBookBatches(Dataset):
    """Batch number -> `Batch`, from the split `train`."""

    def __init__(self, recipe: Recipe, size: int) -> None:
        self.recipe, self.size = recipe, size

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, step: int) -> Batch:
        rng = Random(f"batch/{self.recipe.seed}/{step}")
        pages = self._pages(step, rng)
        web = self.recipe.objective == "contrastive"
        if web:
            long = [page.short.text if step < self.recipe.first_steps else web_caption(page, rng) for page in pages]
        else:
            long = [long_caption(page, rng, self.recipe.summary_drop) for page in pages]
        pictures = np.stack([np.asarray(page.scene.draw(self.size)) for page in pages])
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
        return Batch(images, long, [] if web else [page.short.text for page in pages])

    def _pages(self, step: int, rng: Random) -> list[Page]:
        recipe = self.recipe
        if recipe.objective == "contrastive":
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
        kinds = rng.sample([kind.name for kind in KINDS.values() if not kind.floats], self.recipe.subjects)
        return [recast(page, kinds, rng) for page in pages]


def recast(page: Page, kinds: list[str], rng: Random) -> Page:
    """The page with its subject's kind drawn from `kinds`, where that breaks no rule of the split."""
    subject, *others = page.scene.things
    kind = rng.choice(kinds)
    if unseen_colour(kind) == subject.colour or any(thing.kind == kind for thing in others):
        return page
    return replace(page, scene=replace(page.scene, things=(replace(subject, kind=kind), *others)))


def web_caption(page: Page, rng: Random) -> str:
    """A caption as the web has them: most name the subject and the place, some a detail as well, a few are longer."""
    summary, *others = page.plan
    portrait = Sentence("portrait", (0,), summary.seed)
    u = rng.random()
    if u < 0.30:
        plan = (summary,)
    elif u < 0.60 or len(page.scene.things) == 1:
        plan = (portrait,)
    elif u < 0.72:
        plan = (rng.choice((summary, portrait)), rng.choice(others))
    elif u < 0.92:
        plan = (rng.choice(others),)
    else:
        plan = (summary, *rng.sample(others, min(len(others), rng.randint(2, 4))))
    return realise(plan, page.scene).text


def long_caption(page: Page, rng: Random, summary_drop: float) -> str:
    """A long caption, its summary left out with probability `summary_drop` (DeBias-CLIP).

    Scenes that stand alone also lose some of their other sentences; in a family every sentence may be the one that
    tells two members apart, so all are kept.
    """
    summary, *others = page.plan
    if page.family is None and rng.random() < 0.5:
        others = rng.sample(others, rng.randint(min(3, len(others)), len(others)))
    plan = others if rng.random() < summary_drop else [summary, *others]
    return realise(tuple(plan), page.scene).text
