"""The autoencoder: pictures to latents of a quarter of their side and back, diffusers' `AutoencoderKL`."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .recipe import DiffusionRecipe
from .scenes import scaled

_LEVELS = (1, 2, 4)
#: Pixels a side of the square that one place of the latents stands for.
FACTOR = 2 ** (len(_LEVELS) - 1)
# Fewer channels a group, and the norm takes the colours away that it should carry.
_CHANNELS_A_GROUP = 8


def build_autoencoder(recipe: DiffusionRecipe) -> AutoencoderKL:
    """With random weights; its `scaling_factor` is set once it is trained."""
    return AutoencoderKL(
        latent_channels=recipe.channels,
        block_out_channels=[recipe.autoencoder_width * level for level in _LEVELS],
        down_block_types=["DownEncoderBlock2D"] * len(_LEVELS),
        up_block_types=["UpDecoderBlock2D"] * len(_LEVELS),
        layers_per_block=1,
        norm_num_groups=max(1, recipe.autoencoder_width // _CHANNELS_A_GROUP),
        mid_block_add_attention=False,
        sample_size=recipe.size,
        scaling_factor=1.0,
        force_upcast=False,
    )


def autoencoder_losses(model: AutoencoderKL, images: Tensor, divergence: float, rng: torch.Generator) -> dict[str, Tensor]:
    """uint8 pictures -> the mean absolute difference of what comes back, and the latents' divergence, a number each."""
    pixels = scaled(images)
    latents = model.encode(pixels).latent_dist
    noise = torch.randn(latents.mean.shape, generator=rng, device=rng.device)
    decoded = model.decode(latents.mean + latents.std * noise).sample
    return {
        "difference": (decoded - pixels).abs().mean(),
        "divergence": divergence * latents.kl().mean() / latents.mean[0].numel(),
    }


@torch.inference_mode()
def scale_latents(model: AutoencoderKL, images: Tensor) -> float:
    """What latents are multiplied with to have a variance of 1, measured on uint8 pictures and kept in the model's config."""
    factor = 1 / model.encode(scaled(images).to(model.device)).latent_dist.mean.std().item()
    model.register_to_config(scaling_factor=factor)
    return factor
