"""The U-Net and its noise: diffusers' `UNet2DConditionModel`, trained to predict the velocity of latents.

v-prediction (Salimans and Ho, arXiv 2202.00512), each noise level weighted by min(SNR, 5) / (SNR + 1) (Hang et al.,
arXiv 2303.09556).
"""

from __future__ import annotations

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor

from .recipe import DiffusionRecipe

_CLAMP = 5.0


def build_unet(recipe: DiffusionRecipe, text_width: int) -> UNet2DConditionModel:
    """With random weights: two levels, both of which read the prompt."""
    widths = [recipe.width, recipe.deeper_width]
    return UNet2DConditionModel(
        sample_size=recipe.size // 8,
        in_channels=recipe.channels,
        out_channels=recipe.channels,
        layers_per_block=recipe.layers,
        block_out_channels=widths,
        down_block_types=["CrossAttnDownBlock2D"] * 2,
        up_block_types=["CrossAttnUpBlock2D"] * 2,
        cross_attention_dim=text_width,
        # diffusers calls the number of heads so, for the sake of its first checkpoints
        attention_head_dim=[width // recipe.head_width for width in widths],
        norm_num_groups=min(32, recipe.head_width),
    )


def build_scheduler() -> DPMSolverMultistepScheduler:
    """Noise levels of training and of drawing."""
    return DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=1
    )


def denoiser_loss(
    unet: UNet2DConditionModel, scheduler: DPMSolverMultistepScheduler, latents: Tensor, states: Tensor, rng: torch.Generator
) -> Tensor:
    """Latents [n, channels, side, side] of variance 1, text states [n, 77, width] -> the weighted squared error."""
    noise = torch.randn(latents.shape, generator=rng)
    times = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), generator=rng)
    kept = scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    velocity = kept.sqrt() * noise - (1 - kept).sqrt() * latents
    predicted = unet(noisy, times, encoder_hidden_states=states).sample
    ratio = (kept / (1 - kept)).view(-1)
    weight = ratio.clamp(max=_CLAMP) / (ratio + 1)
    return (weight * (predicted - velocity).square().mean((1, 2, 3))).mean()
