"""The model as one forward pass over a chunk, so that what wraps it for many devices or precisions sees everything."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..model import LongCLIP
from .recipe import Recipe

SHORT_CONTEXT = 77


class Towers(nn.Module):
    """Pixels and token ids to features, the logit scale, and token states, by name."""

    def __init__(self, model: LongCLIP) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        pixels: Tensor | None = None,
        ids: Tensor | None = None,
        read: Tensor | None = None,
        named: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """pixels [n, 3, height, width], ids [m, L] -> image [n, dim], text [m, dim], of unit length; scale [].

        read: ids [k, M] of texts whose states are wanted too -> read [k, dim], states [k, M, width]. named: ids [j, N] of texts
        whose states alone are wanted -> named [j, N, width].
        """
        made = {"scale": self.model.logit_scale.exp()}
        if pixels is not None:
            made["image"] = self.model.encode_image(pixels, normalize=True)
        if ids is not None:
            made["text"] = self.model.encode_text(ids, normalize=True)
        if read is not None:
            made["read"], made["states"] = self._states(read)
        if named is not None:
            _, made["named"] = self._states(named)
        return made

    def _states(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.model.forward_intermediates(text=ids, text_indices=1, normalize_intermediates=True)
        return seen["text_features"], seen["text_intermediates"][-1]


def freeze(model: LongCLIP, recipe: Recipe) -> None:
    """Leave untrained what the recipe says: the lowest blocks of either tower, and all text positions or the first rows of
    a table that is stretched with knowledge preserved, now or before.

    Raises ValueError for more blocks than a tower has.
    """
    model.requires_grad_(True)
    vision, text = model.visual, model.transformer
    if recipe.freeze_vision < 0:
        vision.requires_grad_(False)
    else:
        _freeze_lowest(recipe.freeze_vision, "vision", vision.transformer.resblocks, [vision.conv1, vision.ln_pre])
        if recipe.freeze_vision:
            vision.class_embedding.requires_grad_(False)
            vision.positional_embedding.requires_grad_(False)
    if recipe.freeze_text < 0:
        for part in (model.token_embedding, text, model.ln_final):
            part.requires_grad_(False)
        model.text_projection.requires_grad_(False)
    else:
        _freeze_lowest(recipe.freeze_text, "text", text.resblocks, [model.token_embedding])
    if recipe.positions == "stretched":
        model.positional_embedding.requires_grad_(False)
    elif recipe.stretch == "knowledge-preserved" and model.context_length > SHORT_CONTEXT and recipe.keep_rows:
        model.positional_embedding.register_hook(_mask_rows(recipe.keep_rows))


def _freeze_lowest(count: int, tower: str, blocks: nn.ModuleList, below: list[nn.Module]) -> None:
    if count > len(blocks):
        raise ValueError(f"freeze_{tower} is {count}, and the {tower} tower has {len(blocks)} blocks")
    for part in [*blocks[:count], *(below if count else [])]:
        part.requires_grad_(False)


def _mask_rows(rows: int) -> Callable[[Tensor], Tensor]:
    """A gradient hook: the first `rows` rows get none, which AdamW without decay leaves in place."""

    def mask(gradient: Tensor) -> Tensor:
        kept = torch.ones(len(gradient), 1, device=gradient.device, dtype=gradient.dtype)
        kept[:rows] = 0
        return gradient * kept

    return mask
