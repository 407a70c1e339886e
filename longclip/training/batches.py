"""Batches of picture-book scenes and their captions: batch `step` of a seed is the same wherever and whenever it is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..picturebook.captions import Sentence, realise
from ..picturebook.pages import Page, draw_family, draw_page
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
        long = [web_caption(page, rng) if web else long_caption(page, rng, self.recipe.summary_drop) for page in pages]
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
            pages += draw_family("train", recipe.seed, index, recipe.family_size, late=number % 2 == 1)
        alone = recipe.batch - len(pages)
        return pages + [draw_page("train", recipe.seed, step * alone + number) for number in range(alone)]

    def _web_pages(self, step: int, rng: Random) -> list[Page]:
        """Independent pages; at first of a single thing each, all in one setting, so that only that thing tells them apart."""
        recipe = self.recipe
        numbers = range(step * recipe.batch, (step + 1) * recipe.batch)
        if step >= recipe.first_steps:
            # Half of the web's pictures show one thing or few.
            return [draw_page("train", recipe.seed, i, ((0, 2), (3, 8))[i % 2]) for i in numbers]
        pages = [draw_page("train", recipe.seed, i, (0, 0)) for i in numbers]
        setting = rng.choice(pages).scene.setting
        return [replace(page, scene=replace(page.scene, setting=setting)) for page in pages]


def web_caption(page: Page, rng: Random) -> str:
    """A caption as the web has them: most name the subject and the place, some a detail as well, a few are longer."""
    summary, *others = page.plan
    portrait = Sentence("portrait", (0,), summary.seed)
    u = rng.random()
    if len(page.scene.things) == 1:
        plan = (summary,) if u < 0.75 else (portrait,)
    elif u < 0.30:
        plan = (summary,)
    elif u < 0.60:
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
