"""The U-Net and its noise: diffusers' `UNet2DConditionModel`, trained to predict the velocity of latents.

v-prediction (Salimans and Ho, arXiv 2202.00512), all noise levels alike: what the words decide is decided in much noise, which
weights by the signal's share (Hang et al., arXiv 2303.09556) take out of the loss. Places that show a thing weigh more: else
rain, clouds and snow fill the loss, and the words that name things are learnt late.
"""

from __future__ import annotations

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor, nn

from ..objectives.token_states import even_reading
from .autoencoder import FACTOR
from .grounding import Grounding
from .recipe import DiffusionRecipe

_LEVELS = (2, 3, 5)
_CHANNELS_A_GROUP = 4  # of the narrowest; more further down
_POOLING_HEADS = 8


def build_unet(recipe: DiffusionRecipe, text_width: int) -> UNet2DConditionModel:
    """With random weights: three levels, all of which attend to the prompt and are told of it beside the time.

    Before it is trained, tell it with `read_evenly` how text states vary.
    """
    widths = [recipe.width * level for level in _LEVELS]
    return UNet2DConditionModel(
        sample_size=recipe.size // FACTOR,
        in_channels=recipe.channels,
        out_channels=recipe.channels,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=["CrossAttnDownBlock2D"] * len(_LEVELS),
        up_block_types=["CrossAttnUpBlock2D"] * len(_LEVELS),
        cross_attention_dim=text_width,
        encoder_hid_dim=text_width,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=_POOLING_HEADS,
        # diffusers calls the number of heads so, for the sake of its first checkpoints
        attention_head_dim=list(_LEVELS),
        norm_num_groups=max(1, recipe.width // _CHANNELS_A_GROUP),
    )


@torch.no_grad()
def read_evenly(unet: UNet2DConditionModel, states: Tensor) -> None:
    """Begin with layers that read text states, such as these [n, width], as if they varied alike in all directions.

    Without this, a U-Net draws for long as if nothing had been said. The layers go on from there. Raises ValueError for fewer
    than two states a direction.
    """
    mean, transform = even_reading(states)
    _read_through(unet.encoder_hid_proj, torch.eye(states.shape[1]), mean, transform)
    pooling = unet.add_embedding
    mean, transform = even_reading(pooling.norm1(states))
    for layer in (pooling.pool.q_proj, pooling.pool.k_proj, pooling.pool.v_proj):
        _read_through(layer, layer.weight, mean, transform)


def _read_through(layer: nn.Linear, weight: Tensor, mean: Tensor, transform: Tensor) -> None:
    layer.weight.copy_(weight @ transform)
    layer.bias.copy_(-(layer.weight @ mean))


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
    noise = torch.randn(latents.shape, generator=rng, device=rng.device)
    times = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), generator=rng, device=rng.device)
    kept = scheduler.alphas_cumprod.to(rng.device)[times].view(-1, 1, 1, 1)
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    velocity = kept.sqrt() * noise - (1 - kept).sqrt() * latents
    noted = {"word_maps": grounding}
    predicted = unet(noisy, times, encoder_hidden_states=states, cross_attention_kwargs=noted).sample
    error = (weights * (predicted - velocity).square().mean(1)).sum() / weights.sum()
    return error, grounding.loss()
