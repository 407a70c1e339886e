"""The model as one forward pass over a chunk, so that what wraps it for many devices or precisions sees everything."""

from __future__ import annotations

from collections.abc import Callable

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from ..model import LongCLIP, build_model
from ..recipes import OptionError
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


def freeze(model: LongCLIP, recipe: Recipe, stretched: bool = False) -> int:
    """Leave untrained what the recipe says: the lowest blocks of either tower, and all text positions or the first rows of
    a table that is stretched with knowledge preserved, now (`stretched`) or before. Returns the number of those rows.

    What is constant by construction stays so (tables of sines), and so does a logit bias, which no loss here depends on.
    Raises OptionError for more blocks than a tower has.
    """
    constant = _constants(model) | {"logit_bias"}
    for name, weights in model.named_parameters():
        weights.requires_grad_(name not in constant)
    if recipe.freeze_vision < 0:
        model.visual.requires_grad_(False)
    elif recipe.freeze_vision:
        _freeze_lowest(recipe.freeze_vision, "vision", *_vision_blocks(model.visual))
    if recipe.freeze_text < 0:
        for name, weights in model.named_parameters():
            if not name.startswith(("visual.", "positional_embedding", "logit_scale")):
                weights.requires_grad_(False)
    elif recipe.freeze_text:
        blocks = [list(block.parameters()) for block in model.transformer.resblocks]
        _freeze_lowest(recipe.freeze_text, "text", list(model.token_embedding.parameters()), blocks)
    if recipe.positions == "stretched":
        model.positional_embedding.requires_grad_(False)
        return 0
    if recipe.stretch != "knowledge-preserved" or not (stretched or model.context_length > SHORT_CONTEXT):
        return 0
    if recipe.keep_rows:
        model.positional_embedding.register_hook(_mask_rows(recipe.keep_rows))
    return recipe.keep_rows


def train_mode(towers: nn.Module, steady: bool) -> None:
    """Training mode; with `steady` all statistics of batch normalisation stay the base's.

    Statistics of a small batch, or of its chunks one by one, would not be those that the base was trained with, and the
    gradient of chunks would not be that of their batch.
    """
    towers.train()
    if steady:
        for module in batch_norms(towers):
            module.eval()


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """The parts that keep statistics of batches."""
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def _constants(model: LongCLIP) -> set[str]:
    """Names of the parameters that open_clip makes constant; an encoder's take no gradient, so they do not tell."""
    with torch.device("meta"):
        return {name for name, weights in build_model(model.config).named_parameters() if not weights.requires_grad}


Blocks = list[list[nn.Parameter]]


def _vision_blocks(visual: nn.Module) -> tuple[list[nn.Parameter], Blocks]:
    """What stands below the blocks of a vision tower, and its blocks, the lowest first.

    Of a ResNet they are the bottlenecks, of a tower from timm the layers that timm itself groups for freezing.
    """
    if isinstance(visual, VisionTransformer):
        names = ("conv1", "class_embedding", "positional_embedding", "ln_pre")
        below = [weights for name, weights in visual.named_parameters() if name.split(".")[0] in names]
        return below, [list(block.parameters()) for block in visual.transformer.resblocks]
    if isinstance(visual, ModifiedResNet):
        stages = (visual.layer1, visual.layer2, visual.layer3, visual.layer4)
        above = {id(weights) for part in (*stages, visual.attnpool) for weights in part.parameters()}
        below = [weights for weights in visual.parameters() if id(weights) not in above]
        return below, [list(block.parameters()) for stage in stages for block in stage]
    trunk = getattr(visual, "trunk", None)
    if trunk is None or not hasattr(trunk, "group_matcher"):
        raise OptionError(
            "freeze_vision", f"counts blocks, and a {type(visual).__name__} has none that are known: wanted 0 or -1, all of it"
        )
    from timm.models import group_parameters

    groups = group_parameters(trunk, trunk.group_matcher(coarse=False))
    below, *layers = [groups[number] for number in sorted(groups)]
    if all(name.startswith(_ABOVE) for name in layers[-1]):
        layers.pop()
    return [trunk.get_parameter(name) for name in below], [[trunk.get_parameter(name) for name in layer] for layer in layers]


# Beginnings of names in a tower of timm's that stand above its last block.
_ABOVE = ("norm", "fc_norm", "head", "final_conv", "attn_pool")


def _freeze_lowest(count: int, tower: str, below: list[nn.Parameter], blocks: Blocks) -> None:
    if count > len(blocks):
        raise OptionError(f"freeze_{tower}", f"is {count}, and the {tower} tower has {len(blocks)} blocks")
    for part in (below, *blocks[:count]):
        for weights in part:
            weights.requires_grad_(False)


def _mask_rows(rows: int) -> Callable[[Tensor], Tensor]:
    """A gradient hook: the first `rows` rows get none."""

    def mask(gradient: Tensor) -> Tensor:
        kept = torch.ones(len(gradient), 1, device=gradient.device, dtype=gradient.dtype)
        kept[:rows] = 0
        return gradient * kept

    return mask
