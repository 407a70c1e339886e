"""A pair's picture as the pixels a model trains on, and an account of those that could not be read."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from PIL import Image

from ..images import ImageError, check_size, open_image
from ..preprocessing import Preprocessing, ProcessorPreprocessing
from .pairs import DataError, Pair, Slice

# torchvision's RandomResizedCrop: the range of width over height, and how often it tries before it takes the centre.
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


def read_pair(
    pair: Pair,
    preprocessing: Preprocessing | ProcessorPreprocessing,
    rng: random.Random | None = None,
    scale: tuple[float, float] = (0.9, 1.0),
) -> np.ndarray:
    """A pair's picture, uint8 [3, height, width], not normalised.

    Without `rng` it is laid out as for evaluation. With `rng` it is open_clip's training crop instead: a box of a share of the
    area within `scale`, resized bicubically, the same for the same state of `rng`. Raises ImageError for a picture that is
    missing or broken.
    """
    image = _open(pair.picture)
    if rng is None:
        return preprocessing.layout(image)
    height, width = preprocessing.size
    cut = image.crop(crop_box(image.width, image.height, rng, scale))
    resized = cut.resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def crop_box(width: int, height: int, rng: random.Random, scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a random crop: torchvision's ``RandomResizedCrop.get_params``, drawn from `rng`."""
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.randint(0, width - w), rng.randint(0, height - h)
            return left, top, left + w, top + h
    # No such box fits in a picture this long: its middle, as long as the ratio allows.
    w, h = min(width, round(height * _RATIO[1])), min(height, round(width / _RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


@dataclass
class Skips:
    """Counts the pictures that were tried and those that are broken, each once; too many of them end the run.

    limit: the largest share that may be broken. least: pictures tried before the share says anything. first: the sentences
    of the first broken ones, at most `kept`.
    """

    limit: float = 0.05
    least: int = 200
    kept: int = 20
    first: list[str] = field(default_factory=list)
    _tried: set[int] = field(default_factory=set, repr=False)
    _broken: set[int] = field(default_factory=set, repr=False)

    @property
    def tried(self) -> int:
        """Pictures that were tried."""
        return len(self._tried)

    @property
    def broken(self) -> int:
        """Those of them that cannot be read."""
        return len(self._broken)

    def add(self, tried: Iterable[int], broken: Mapping[int, object] = MappingProxyType({})) -> None:
        """Notes pictures by their numbers, and the errors of those of them that are broken; a picture may come many times.

        Raises DataError once too large a share of at least `least` pictures is broken.
        """
        self._tried.update(tried, broken)
        new = [error for number, error in broken.items() if number not in self._broken]
        self._broken.update(broken)
        self.first += [str(error) for error in new[: self.kept - len(self.first)]]
        if self.tried >= self.least:
            self.finish()

    def finish(self) -> None:
        """Raises DataError if too large a share of all pictures was broken, however few there were."""
        if self.broken > self.limit * self.tried:
            raise DataError(f"{self.report()} At most {self.limit:.0%} may be broken (--broken).")

    def report(self) -> str:
        """How many pictures could not be read, and why the first of them could not, in a few lines."""
        if not self.broken:
            return f"All {self.tried:,} pictures could be read."
        share = f"{self.broken:,} of {self.tried:,} pictures ({self.broken / max(1, self.tried):.1%}) could not be read"
        more = [f"and {self.broken - len(self.first):,} more"] if self.broken > len(self.first) else []
        return "\n  ".join([f"{share}:", *self.first, *more])


def _open(picture: object) -> Image.Image:
    if not isinstance(picture, Slice):
        try:
            return open_image(picture)
        except OSError as error:
            raise ImageError(f"{picture} cannot be read ({error})") from error
    name = f"the picture at byte {picture.start:,} of {picture.path}"
    try:
        check_size(picture.size, "the picture")
        return open_image(picture.read())
    except ImageError as error:
        raise ImageError(str(error).replace("the picture", name, 1)) from error
    except (OSError, DataError) as error:
        raise ImageError(f"{name} cannot be read ({error})") from error
