"""The U-Net and its noise: diffusers' `UNet2DConditionModel`, trained to predict the velocity of latents.

v-prediction (Salimans and Ho, arXiv 2202.00512), all noise levels alike: what the words decide is decided in much noise, which
weights by the signal's share (Hang et al., arXiv 2303.09556) take out of the loss. Places that show a thing weigh more: else
rain, clouds and snow fill the loss, and the words that name things are learnt late.
"""

from __future__ import annotations

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor

from .autoencoder import FACTOR
from .grounding import Grounding
from .recipe import DiffusionRecipe

_LEVELS = (2, 3, 5)
_CHANNELS_A_GROUP = 4  # of the narrowest; more further down


def build_unet(recipe: DiffusionRecipe, text_width: int) -> UNet2DConditionModel:
    """With random weights: three levels, of which the lower two read the prompt."""
    widths = [recipe.width * level for level in _LEVELS]
    return UNet2DConditionModel(
        sample_size=recipe.size // FACTOR,
        in_channels=recipe.channels,
        out_channels=recipe.channels,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        cross_attention_dim=text_width,
        # diffusers calls the number of heads so, for the sake of its first checkpoints
        attention_head_dim=list(_LEVELS),
        norm_num_groups=max(1, recipe.width // _CHANNELS_A_GROUP),
    )


def build_scheduler() -> DPMSolverMultistepScheduler:
    """Noise levels of training and of drawing."""
    return DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=1
    )


def denoiser_losses(
    unet: UNet2DConditionModel,
    scheduler: DPMSolverMultistepScheduler,
    latents: Tensor,
    weights: Tensor,
    states: Tensor,
    grounding: Grounding,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The mean squared error of the velocity, weighted by place, and the loss of `grounding`.

    Latents [n, channels, side, side] of variance 1, weights [n, side, side], text states [n, 77, width]. The U-Net's attention
    must be one that records (`word_maps.record_attention`).
    """
    noise = torch.randn(latents.shape, generator=rng)
    times = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), generator=rng)
    kept = scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    velocity = kept.sqrt() * noise - (1 - kept).sqrt() * latents
    noted = {"word_maps": grounding}
    predicted = unet(noisy, times, encoder_hidden_states=states, cross_attention_kwargs=noted).sample
    error = (weights * (predicted - velocity).square().mean(1)).sum() / weights.sum()
    return error, grounding.loss()
