"""What the parts learn from: pictures and captions of scenes of the split `train`, by the number of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..picturebook.captions import Caption, realise
from ..picturebook.kinds import KINDS
from ..picturebook.pages import Page, draw_page
from ..picturebook.palette import COLOURS
from ..picturebook.scene import Scene
from ..tokens import Tokenizer
from ..training.scenes import long_plan, web_plan
from .recipe import DiffusionRecipe

KIND_NAMES, COLOUR_NAMES = tuple(KINDS), tuple(COLOURS)
#: A cell that shows no thing.
NO_KIND, NO_COLOUR = len(KIND_NAMES), len(COLOUR_NAMES)
CELL = 4
#: A cell is a thing's where the thing covers at least this share of it.
_COVERED = 0.25
#: Things beside the subject, (least, most), in each four scenes. Where all have many, what the words name is found out late.
_OTHERS = ((0, 0), (3, 8), (0, 2), (3, 8))


def draw_numbered(recipe: DiffusionRecipe, number: int) -> Page:
    """A scene of what the parts learn from, with its words; every fourth shows its subject alone."""
    return draw_page("train", recipe.seed, number, _OTHERS[number % len(_OTHERS)])


@dataclass(frozen=True)
class Pictures(Dataset):
    """Batch number -> scenes as uint8 [batch, 3, size, size]; with `mapped`, also what each cell of 4 x 4 pixels shows."""

    recipe: DiffusionRecipe
    batch: int
    mapped: bool = False

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        indices = range(step * self.batch, (step + 1) * self.batch)
        scenes = [draw_numbered(self.recipe, index).scene for index in indices]
        pictures = pixels(scenes, self.recipe.size)
        if not self.mapped:
            return (pictures,)
        maps = [map_cells(scene, self.recipe.size) for scene in scenes]
        return pictures, torch.stack([kinds for kinds, _ in maps]), torch.stack([colours for _, colours in maps])


@dataclass(frozen=True)
class Captions(Dataset):
    """Batch number -> the numbers of scenes out of `recipe.scenes`, a caption of each, another one every time, its ids and
    the number of the kind that each of them speaks of, int64 [batch, context length] both.

    The first `recipe.first_steps` batches are of subjects alone.
    """

    recipe: DiffusionRecipe
    tokenizer: Tokenizer

    def __getitem__(self, step: int) -> tuple[list[int], list[str], Tensor, Tensor]:
        rng = Random(f"captions/{self.recipe.seed}/{step}")
        every = len(_OTHERS) if step < self.recipe.first_steps else 1
        rows = [rng.randrange(0, self.recipe.scenes, every) for _ in range(self.recipe.batch)]
        pages = [draw_numbered(self.recipe, row) for row in rows]
        captions = [self._caption(page, rng) for page in pages]
        told = [self._told(page, caption) for page, caption in zip(pages, captions, strict=True)]
        texts = [caption.text for caption in captions]
        return rows, texts, self.tokenizer.filled(texts), torch.tensor(told)

    def _caption(self, page: Page, rng: Random) -> Caption:
        """With its sentences in random order: where the subject mostly comes first, what comes first is drawn as subject."""
        recipe = self.recipe
        if rng.random() < recipe.unsaid:
            return realise((), page.scene)
        plan = web_plan(page, rng, 0.5) if rng.random() < recipe.short else long_plan(page, rng, recipe.summary_drop)
        return realise(tuple(rng.sample(plan, len(plan))), page.scene)

    def _told(self, page: Page, caption: Caption) -> list[int]:
        told = [NO_KIND] * self.tokenizer.context_length
        phrases = [phrase for phrase in caption.phrases if phrase.things]
        for position, (start, end) in enumerate(self.tokenizer(caption.text).spans):
            for phrase in phrases:
                if phrase.start <= start < end <= phrase.end:
                    told[position] = KIND_NAMES.index(page.scene.things[phrase.things[0]].kind)
        return told


def pixels(scenes: list[Scene], size: int) -> Tensor:
    """uint8 [n, 3, size, size]."""
    return torch.from_numpy(np.stack([np.asarray(scene.draw(size)) for scene in scenes])).permute(0, 3, 1, 2).contiguous()


def map_cells(scene: Scene, size: int) -> tuple[Tensor, Tensor]:
    """Which kind and which colour each cell of 4 x 4 pixels shows, int64 [size / 4, size / 4] each, by number."""
    cells = size // CELL
    masks = scene.masks(size).reshape(len(scene.things), cells, CELL, cells, CELL).mean((2, 4))
    most = masks.argmax(0)
    seen = masks.max(0) >= _COVERED
    kinds = np.array([KIND_NAMES.index(thing.kind) for thing in scene.things])[most]
    colours = np.array([COLOUR_NAMES.index(thing.colour) for thing in scene.things])[most]
    return torch.from_numpy(np.where(seen, kinds, NO_KIND)), torch.from_numpy(np.where(seen, colours, NO_COLOUR))


def scaled(images: Tensor) -> Tensor:
    """uint8 pictures as the autoencoder reads them: float32 in -1..1."""
    return images.float() / 127.5 - 1
