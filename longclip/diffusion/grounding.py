"""Places read the words about what they show: a loss on the U-Net's cross-attention.

In the manner of TokenCompose (Wang et al., arXiv 2312.03626), which wants each noun's attention inside the mask of its thing;
here a place that shows a thing wants its attention on what the caption says of that thing. Which words name what is otherwise
found out late: things are a small part of each picture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from .scenes import NO_KIND

# So that a place without any attention on its words costs much and not everything.
_LEAST = 1e-4


class Grounding:
    """Takes the attention of a U-Net, layer by layer, in place of word maps (`word_maps.RecordingProcessor`).

    shown: the kind that each place of the latents shows, [n, side, side]; told: the kind that each position of the prompt
    speaks of, [n, positions]; NO_KIND in both for none.
    """

    def __init__(self, shown: Tensor, told: Tensor) -> None:
        self.shown, self.told = shown.long(), told.long()
        self._losses: list[Tensor] = []

    def add(self, weights: Tensor) -> None:
        """Attention [n, heads, places, positions] of one layer, each place's summing to 1."""
        places = self._shown_at(weights.shape[2])
        about = (places[:, :, None] == self.told[:, None, :]) & (self.told != NO_KIND)[:, None, :]
        told = about.any(-1)
        costs = -(weights.mean(1) * about).sum(-1).clamp(min=_LEAST).log()
        self._losses.append((costs * told).sum() / told.sum().clamp(min=1))

    def loss(self) -> Tensor:
        """Mean over layers of the cross entropy of the words about what a place shows; 0 for a layer without such words."""
        return torch.stack(self._losses).mean() if self._losses else torch.zeros((), device=self.told.device)

    def _shown_at(self, places: int) -> Tensor:
        """[n, places] on a level of the U-Net; of several things in one place the one whose kind comes first."""
        shown = self.shown
        while shown[0].numel() > places:
            shown = -max_pool2d(-shown.float(), 2, ceil_mode=True).long()
        return shown.flatten(1)
