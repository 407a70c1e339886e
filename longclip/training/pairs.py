"""Batches of pictures and captions of a data set, in an order that depends on the seed alone."""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from torch.utils.data import Dataset

from ..data.captions import CaptionPolicy
from ..data.pairs import DataError, Pair, PairData, Slice
from ..data.pictures import read_pair
from ..images import ImageError, Preprocessing
from .batches import Batch, Share
from .recipe import Recipe

# Other pairs that are tried in place of one whose picture cannot be read.
_ATTEMPTS = 20


class PairBatches(Dataset):
    """Batch number -> the rows of this process, decoded and cropped.

    A picture that cannot be read is named in the batch's `skipped` and another pair stands in for it.
    """

    def __init__(self, recipe: Recipe, data: PairData, look: Preprocessing, share: Share = Share()) -> None:  # noqa: B008
        self.recipe, self.data, self.look, self.rows = recipe, data, look, share.rows(recipe.batch)
        self.policy = CaptionPolicy(recipe.short, recipe.short_details, recipe.summary_drop, recipe.sentences)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.accumulate

    def __getitem__(self, step: int) -> Batch:
        recipe = self.recipe
        images, long, short, names, skipped = [], [], [], [], []
        for row in self.rows:
            rng = Random(f"pairs/{recipe.seed}/{step}/{row}")
            number, image = self._read(self._number(step * recipe.batch + row), rng, skipped)
            pair = self.data.pairs[number]
            texts = self.policy.draw(pair, rng)
            images.append(image)
            long.append(texts[0])
            short.append(texts[1])
            names.append(name_of(pair))
        pixels = torch.from_numpy(np.stack(images))
        return Batch(pixels, long, short if recipe.uses_short else [], names=names, skipped=skipped)

    def _number(self, place: int) -> int:
        """The pair at a place of the endless sequence of shuffled epochs."""
        epoch, place = divmod(place, len(self.data.pairs))
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(self.data.pairs))
            self._epoch = epoch
        return int(self._order[place])

    def _read(self, number: int, rng: Random, skipped: list[str]) -> tuple[int, np.ndarray]:
        crop = self.recipe.crop
        for _ in range(_ATTEMPTS):
            try:
                return number, see(self.data.pairs[number], self.look, rng if crop < 1 else None, crop)
            except ImageError as error:
                skipped.append(str(error))
                number = rng.randrange(len(self.data.pairs))
        raise DataError(f"{_ATTEMPTS} pictures one after the other cannot be read; the last: {skipped[-1]}")


def see(pair: Pair, look: Preprocessing, rng: Random | None = None, crop: float = 1.0) -> np.ndarray:
    """A pair's picture as a model wants it, uint8 [3, height, width]; with `rng` a random crop of at least that share.

    Raises ImageError for a picture that cannot be read.
    """
    return read_pair(pair, look.size, look.mode, rng, interpolation=look.interpolation, fill=look.fill, scale=(crop, 1.0))


def name_of(pair: Pair) -> str:
    """Where a pair's picture lies, for messages."""
    picture = pair.picture
    return f"{picture.path.name}+{picture.start}" if isinstance(picture, Slice) else picture.name
