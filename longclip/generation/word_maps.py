"""Which parts of a picture each token drew: the U-Net's cross-attention, averaged over steps, layers and heads.

After DAAM (Tang et al., arXiv 2210.04885): the attention of each place of a layer on each position of the prompt, brought to
the finest layer's size and averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import Attention


class WordMaps:
    """Collects attention while a picture is drawn; hand it to `drawing.draw`.

    picture: which of the pictures drawn together. `pictures`, how many there are, and `guided`, whether each step computes both
    sides of the guidance, are told by `drawing.draw`.
    """

    def __init__(self, height: int, width: int, picture: int = 0) -> None:
        self.height, self.width, self.picture = height, width, picture
        self._sums: dict[tuple[int, int], Tensor] = {}
        self._count = 0
        self.pictures, self.guided = 1, True

    def add(self, weights: Tensor) -> None:
        """Attention [batch, heads, places, positions] of one layer at one step."""
        # The side without the prompt comes first.
        row = self.picture + (self.pictures if self.guided else 0)
        mean = weights[row].float().mean(0).T
        places = mean.shape[1]
        # Each level of the U-Net halves both sides, rounded up.
        height, width = self.height, self.width
        while height * width > places:
            height, width = -(-height // 2), -(-width // 2)
        shape = (height, width)
        self._sums[shape] = self._sums.get(shape, 0) + mean.reshape(-1, height, width).cpu()
        self._count += 1

    def result(self) -> Tensor:
        """[positions, height, width] of the latents, each place's attention summing to 1 over the positions.

        Raises ValueError before anything was drawn.
        """
        if not self._count:
            raise ValueError("no attention was recorded: draw a picture with these maps first")
        size = (self.height, self.width)
        resized = [F.interpolate(total[None], size=size, mode="bilinear")[0] for total in self._sums.values()]
        return torch.stack(resized).sum(0) / self._count


class RecordingProcessor(AttnProcessor2_0):
    """diffusers' attention; where the call brings `word_maps`, cross-attention is also noted there."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        word_maps: WordMaps | None = None,
    ) -> Tensor:
        if word_maps is not None and encoder_hidden_states is not None:
            query, key = attn.to_q(hidden_states), attn.to_k(encoder_hidden_states)
            query, key = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (query, key))
            word_maps.add((query @ key.mT * attn.scale).softmax(-1))
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def record_attention(unet: UNet2DConditionModel) -> None:
    """Make a U-Net's attention able to note what it attends to; what it computes stays the same."""
    unet.set_attn_processor(RecordingProcessor())
