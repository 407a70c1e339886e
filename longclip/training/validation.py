"""Recall on pairs that training never sees, measured while it runs and for the model card."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..data.captions import CaptionPolicy
from ..data.pairs import PairData
from ..images import ImageError
from ..picturebook.pages import draw_pages
from ..retrieval import recall, retrieval_ranks
from ..sentences import split_sentences
from .pairs import see
from .recipe import PICTURE_BOOK

if TYPE_CHECKING:
    from .run import Run

#: Seed of the held-out scenes; other figures are measured on seed 0 and shown on seed 1.
SEED = 3
_ROWS = 64


class Validation:
    """Held-out pictures, uint8 [n, 3, height, width], with their long and short captions, and the long ones' details: all but
    their first sentence, of which DeBias-CLIP (arXiv 2602.22419) found that a model may read nothing else."""

    def __init__(self, run: Run, held_out: PairData | None) -> None:
        recipe = run.recipe
        if recipe.data == PICTURE_BOOK:
            pages = list(draw_pages("held-out", SEED, recipe.validate_on))
            pictures = [np.asarray(page.scene.draw(run.look.size[0])).transpose(2, 0, 1) for page in pages]
            self.long, self.short = [page.long.text for page in pages], [page.short.text for page in pages]
        else:
            assert held_out is not None
            policy, pictures, self.long, self.short = CaptionPolicy(), [], [], []
            for pair in held_out.pairs[: recipe.validate_on]:
                with suppress(ImageError):
                    pictures.append(see(pair, run.look))
                    long, first = policy.draw(pair, Random(0))
                    self.long.append(long)
                    self.short.append(pair.short or first)
        self.details = [_without_summary(text) for text in self.long]
        self.pictures = np.stack(pictures) if pictures else np.empty((0, 3, *run.look.size), dtype=np.uint8)

    @property
    def count(self) -> int:
        """Held-out pairs that could be read."""
        return len(self.pictures)

    def measure(self, run: Run) -> dict[str, float]:
        """Recall at 1 in percent, by name, a tie counting against. Every process runs it.

        Raises FloatingPointError where a feature is not finite.
        """
        count, figures = self.count, {}
        if not count:
            return figures
        training = run.towers.training
        run.towers.eval()
        image = _embed(lambda rows: run.towers(pixels=run.pixels(torch.from_numpy(self.pictures[rows])))["image"], count)
        details = self.details if self.details != self.long else []
        for kind, texts in (("long", self.long), ("details", details), ("short", self.short)):
            if texts and all(texts):
                text = _embed(lambda rows: run.towers(ids=run.tokenizer.batch(texts[rows]).to(run.device))["text"], count)  # noqa: B023
                figures[f"{kind} text to image R@1"] = round(100 * recall(retrieval_ranks(text, image), 1), 2)
                figures[f"{kind} image to text R@1"] = round(100 * recall(retrieval_ranks(image, text), 1), 2)
        if training:
            run.train_mode()
        return figures


def _without_summary(text: str) -> str:
    """A caption from its second sentence on; all of it where it has but one."""
    spans = split_sentences(text)
    return text[spans[1][0] :] if len(spans) > 1 else text


@torch.no_grad()
def _embed(encode: Callable[[slice], Tensor], count: int) -> np.ndarray:
    parts = [encode(slice(first, first + _ROWS)).float().cpu().numpy() for first in range(0, count, _ROWS)]
    rows = np.concatenate(parts)
    if not np.isfinite(rows).all():
        raise FloatingPointError("the model's features are not finite: a lower learning_rate may help")
    return rows
