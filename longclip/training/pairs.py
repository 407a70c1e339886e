"""Batches of pictures and captions of a data set, in an order that depends on the seed alone."""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from torch.utils.data import Dataset

from ..data.captions import CaptionPolicy
from ..data.pairs import DataError, Pair, PairData, Slice
from ..data.pictures import read_pair
from ..images import ImageError
from ..preprocessing import Preprocessing
from .batches import Batch, Share
from .recipe import Recipe

# Other pairs that are tried in place of one whose picture cannot be read.
_ATTEMPTS = 20


class PairBatches(Dataset):
    """Batch number -> the rows of this process, decoded and cropped.

    A picture that cannot be read is named in the batch's `skipped` and another pair stands in for it. Without `look`, what is
    said of pictures can be asked for alone (`told`).
    """

    def __init__(self, recipe: Recipe, data: PairData, look: Preprocessing | None, share: Share = Share()) -> None:  # noqa: B008
        self.recipe, self.data, self.look, self.rows = recipe, data, look, share.rows(recipe.batch)
        self.policy = CaptionPolicy(
            "first-sentence" if recipe.short == "detail" else recipe.short,
            recipe.detail_share,
            recipe.summary_drop,
            recipe.sentences,
        )
        self._order = Order(recipe.seed, len(data.pairs), recipe.batch)

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.accumulate

    def __getitem__(self, step: int) -> Batch:
        recipe = self.recipe
        first = step * recipe.batch
        taken = {self._order[first + row] for row in range(recipe.batch)}
        images, long, short, names = [], [], [], []
        tried: list[int] = []
        skipped: dict[int, str] = {}
        for row in self.rows:
            number, image = self._read(self._order[first + row], self._random("crop", step, row), taken, skipped)
            tried.append(number)
            pair = self.data.pairs[number]
            texts = self.policy.draw(pair, self._random("captions", step, row))
            images.append(image)
            long.append(texts[0])
            short.append(texts[1])
            names.append(name_of(pair))
        pixels = torch.from_numpy(np.stack(images))
        return Batch(pixels, long, short if recipe.uses_short else [], names=names, tried=tried, skipped=skipped)

    def told(self, step: int) -> list[tuple[Pair, str, str]]:
        """The pairs of a whole batch with the long and the short caption that each has in it, no picture opened."""
        pairs = [self.data.pairs[self._order[step * self.recipe.batch + row]] for row in range(self.recipe.batch)]
        return [(pair, *self.policy.draw(pair, self._random("captions", step, row))) for row, pair in enumerate(pairs)]

    def _random(self, what: str, step: int, row: int) -> Random:
        return Random(f"{what}/{self.recipe.seed}/{step}/{row}")

    def _read(self, number: int, rng: Random, taken: set[int], skipped: dict[int, str]) -> tuple[int, np.ndarray]:
        crop = self.recipe.crop
        for _ in range(_ATTEMPTS):
            try:
                return number, see(self.data.pairs[number], self.look, rng if crop < 1 else None, crop)
            except ImageError as error:
                last = skipped[number] = str(error)
                # A pair that the batch has already would be its own wrong answer.
                others = (rng.randrange(len(self.data.pairs)) for _ in range(_ATTEMPTS))
                number = next((other for other in others if other not in taken), rng.randrange(len(self.data.pairs)))
        raise DataError(f"{_ATTEMPTS} pictures one after the other cannot be read; the last: {last}")


class Order:
    """Place -> number of the pair, in an endless sequence of shuffled epochs, of which no batch holds a pair twice.

    The batch in which an epoch ends goes on with pairs of the next one that it does not have yet. Batches of more than
    `count` pairs cannot be had that way, and repeat some.
    """

    def __init__(self, seed: int, count: int, batch: int) -> None:
        self.seed, self.count, self.batch = seed, count, batch
        self._epoch, self._numbers = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, place: int) -> int:
        epoch, place = divmod(place, self.count)
        if epoch < self._epoch:
            self._epoch = -1
        while self._epoch < epoch:
            self._epoch += 1
            self._numbers = self._shuffled(self._epoch, self._numbers)
        return int(self._numbers[place])

    def _shuffled(self, epoch: int, before: np.ndarray) -> np.ndarray:
        """The numbers of an epoch, `before` being those of the last one."""
        numbers = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        begun = epoch * self.count % self.batch  # rows of the batch that the last epoch did not fill
        if not begun or self.batch > self.count:
            return numbers
        there, rest = set(before[-begun:].tolist()), self.batch - begun
        twice = [place for place in range(rest) if int(numbers[place]) in there]
        others = (place for place in range(rest, self.count) if int(numbers[place]) not in there)
        for place in twice:
            other = next(others)
            numbers[place], numbers[other] = numbers[other], numbers[place]
        return numbers


def see(pair: Pair, look: Preprocessing, rng: Random | None = None, crop: float = 1.0) -> np.ndarray:
    """A pair's picture as a model wants it, uint8 [3, height, width]; with `rng` a random crop of at least that share.

    Raises ImageError for a picture that cannot be read.
    """
    return read_pair(pair, look, rng, (crop, 1.0))


def name_of(pair: Pair) -> str:
    """Where a pair's picture lies, for messages."""
    picture = pair.picture
    return f"{picture.path.name}+{picture.start}" if isinstance(picture, Slice) else picture.name
