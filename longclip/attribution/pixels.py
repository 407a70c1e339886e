"""Which pixels a text speaks of: patch occlusion and integrated gradients of the picture, for any direction of text features.

The score is linear in the text's features, so what a picture loses by a covered patch is kept as a vector: the map of any
caption, and of the difference that one word makes, is then a product, and the picture is encoded once for all words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..encoder import Encoder, Progress
from ..images import Picture
from .gradients import STEPS, integrate, slope
from .match import Match
from .removal import REMOVAL
from .units import Unit

COVERS = {
    "blur": "the picture itself, so blurred that nothing can be told",
    "mean": "the picture's mean colour",
    "grey": "the mean colour of the pictures that the model was trained on",
}
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What covering each cell of a picture takes from its features: losses, float32 [rows, columns, dim]."""

    losses: np.ndarray
    passes: int

    def map(self, direction: np.ndarray) -> np.ndarray:
        """How much each cell adds to the score of a text with these features, or of a difference of two: [rows, columns]."""
        return self.losses @ direction

    def words(self, effects: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """How much of what each word does rests on some cells: [words], the sum of their maps over these cells.

        effects: [words, dim], see `word_effects`. cells: bool [rows, columns].
        """
        return effects @ self.losses[cells].sum(0)


def occlude(
    encoder: Encoder,
    picture: Picture,
    window: int = 1,
    cover: str = "blur",
    progress: Progress | None = None,
) -> Occlusion:
    """Cover windows of `window` patches a side, one patch further each time, and see what the features lose.

    A cell is a patch of the model; it is given the mean of the windows that cover it. progress: hears of each batch, and may
    raise to stop. Raises ValueError for an unknown cover and a window that is larger than the picture.
    """
    if cover not in COVERS:
        raise ValueError(f"cover {cover!r} is unknown; there are {', '.join(COVERS)}")
    pixels = encoder.preprocessing.batch([picture]).to(encoder.device)
    rows, columns = grid_of(encoder)
    if not 0 < window <= min(rows, columns):
        raise ValueError(f"window is {window} patches; wanted 1 to {min(rows, columns)}")
    height, width = pixels.shape[2] // rows, pixels.shape[3] // columns
    places = [(row, column) for row in range(rows - window + 1) for column in range(columns - window + 1)]
    covering = _cover(pixels, cover)
    with torch.inference_mode():
        whole = encoder.image_features(pixels).float()
        losses = torch.zeros(rows, columns, whole.shape[1], device=whole.device)
        counts = torch.zeros(rows, columns, 1, device=whole.device)
        for first in range(0, len(places), _BATCH):
            batch = places[first : first + _BATCH]
            covered = pixels.repeat(len(batch), 1, 1, 1)
            for one, (row, column) in zip(covered, batch, strict=True):
                area = (
                    slice(None),
                    slice(row * height, (row + window) * height),
                    slice(column * width, (column + window) * width),
                )
                one[area] = covering[0][area]
            for (row, column), loss in zip(batch, whole - encoder.image_features(covered).float(), strict=True):
                losses[row : row + window, column : column + window] += loss
                counts[row : row + window, column : column + window] += 1
            if progress:
                progress(first + len(batch), len(places))
    return Occlusion((losses / counts).cpu().numpy(), len(places) + 1)


def integrated_gradients_map(
    encoder: Encoder,
    picture: Picture,
    direction: np.ndarray,
    steps: int = STEPS,
    cover: str = "blur",
    progress: Progress | None = None,
) -> tuple[np.ndarray, float]:
    """Integrated gradients from the wholly covered picture, added up over each patch: [rows, columns], and their gap.

    They add up to what the picture scores over the covered one, but for the gap.
    """
    pixels = encoder.preprocessing.batch([picture]).to(encoder.device)
    score, base = _score(encoder, direction), _cover(pixels, cover)
    found = integrate(score, pixels, base, steps, progress)
    with torch.inference_mode():
        difference = float(score(pixels) - score(base))
    return _over_cells(encoder, found), float(found.double().sum()) - difference


def gradient_map(encoder: Encoder, picture: Picture, direction: np.ndarray, cover: str = "blur") -> np.ndarray:
    """The gradient at the picture times what it has over the covered one, added up over each patch: [rows, columns]."""
    pixels = encoder.preprocessing.batch([picture]).to(encoder.device)
    return _over_cells(encoder, slope(_score(encoder, direction), pixels) * (pixels - _cover(pixels, cover)))


def word_effects(
    match: Match, groups: Iterable[Iterable[Unit]], removal: str = REMOVAL, progress: Progress | None = None
) -> np.ndarray:
    """What taking away each group of units takes from the caption's features: float32 [groups, dim].

    `Occlusion.map` of a row tells how the caption's map changes when that word goes, positive where the word put it.
    """
    variants = [match.caption, *(match.without(units, removal) for units in groups)]
    whole, *others = match.features(variants, progress)
    return whole - np.array(others).reshape(-1, len(whole))


def grid_of(encoder: Encoder) -> tuple[int, int]:
    """Rows and columns of a model's patches; of 32 pixels a side for one that has none."""
    height, width = encoder.preprocessing.size
    patch = getattr(encoder.model.visual, "patch_size", (32, 32))
    return height // patch[0], width // patch[1]


def _cover(pixels: Tensor, cover: str) -> Tensor:
    """What lies over a covered place: pixels of the same shape, [1, 3, height, width]."""
    if cover not in COVERS:
        raise ValueError(f"cover {cover!r} is unknown; there are {', '.join(COVERS)}")
    if cover == "grey":
        return torch.zeros_like(pixels)  # pixels are normalised by that mean
    if cover == "mean":
        return pixels.mean((2, 3), keepdim=True).expand_as(pixels)
    coarse = F.adaptive_avg_pool2d(pixels, 4)
    return F.interpolate(coarse, pixels.shape[2:], mode="bilinear")


def _score(encoder: Encoder, direction: np.ndarray):
    towards = torch.as_tensor(direction, dtype=torch.float32, device=encoder.device)
    return lambda pixels: encoder.image_features(pixels) @ towards


def _over_cells(encoder: Encoder, values: Tensor) -> np.ndarray:
    """[1, 3, height, width] added up over each patch and the colours: float64 [rows, columns]."""
    rows, columns = grid_of(encoder)
    height, width = values.shape[2] // rows, values.shape[3] // columns
    cells = values[0, :, : rows * height, : columns * width].double().view(3, rows, height, columns, width)
    return cells.sum((0, 2, 4)).cpu().numpy()
