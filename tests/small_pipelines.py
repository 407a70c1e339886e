"""Diffusion pipelines of Stable Diffusion's shapes with random weights and few layers, shared by the tests of generation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from longclip.diffusion.recipe import DiffusionRecipe
from longclip.encoder import Encoder
from longclip.generation.drawing import Settings, draw
from longclip.generation.text_models import clip_tokenizer, text_model
from longclip.generation.word_maps import record_attention
from longclip.tokens import Tokenizer

FEW = Settings(steps=3, guidance=4.0)
#: A recipe of which every step takes milliseconds.
SMALL = DiffusionRecipe(
    name="small",
    size=32,
    channels=4,
    autoencoder_width=8,
    autoencoder_steps=3,
    autoencoder_batch=4,
    scenes=70,
    width=8,
    steps=4,
    first_steps=2,
    batch=4,
    detector_width=8,
    detector_steps=2,
    detector_batch=4,
    warmup=2,
    save_every=2,
)


def build_vae(latent_channels: int = 4) -> AutoencoderKL:
    """Four levels: an eighth of the picture's side, as in Stable Diffusion."""
    torch.manual_seed(1)
    return AutoencoderKL(
        latent_channels=latent_channels,
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
    )


def build_unet(text_width: int, widths: tuple[int, int] = (16, 32), **settings: Any) -> UNet2DConditionModel:
    torch.manual_seed(2)
    return UNet2DConditionModel(
        sample_size=4,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text_width,
        norm_num_groups=8,
        **{"attention_head_dim": 2} | settings,
    )


def sd_pipeline(encoder: Encoder, dtype: torch.dtype = torch.float32, **settings: Any) -> StableDiffusionPipeline:
    """A pipeline whose text encoder is that encoder's, as one of Stable Diffusion 1.x."""
    pipeline = StableDiffusionPipeline(
        vae=build_vae(),
        text_encoder=text_model(encoder),
        tokenizer=clip_tokenizer(encoder.tokenizer),
        unet=build_unet(encoder.model.config["text_cfg"]["width"], **settings),
        scheduler=DPMSolverMultistepScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(dtype)
    return _prepared(pipeline)


def sdxl_pipeline(encoder: Encoder, second_width: int = 48, dtype: torch.dtype = torch.float32, **settings: Any):
    """A pipeline with a second text encoder, its own pad token and a pooled embedding, as SDXL's."""
    tokenizer = clip_tokenizer(Tokenizer(encoder.tokenizer.vocab, encoder.tokenizer.merges, 77))
    tokenizer.pad_token = "!"
    width = encoder.model.config["text_cfg"]["width"]
    torch.manual_seed(3)
    second = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(encoder.tokenizer.vocab),
            hidden_size=second_width,
            intermediate_size=2 * second_width,
            num_hidden_layers=3,
            num_attention_heads=second_width // 16,
            projection_dim=second_width,
            hidden_act="gelu",
            bos_token_id=encoder.tokenizer.start_id,
            eos_token_id=encoder.tokenizer.end_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = build_unet(
        width + second_width,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=second_width + 6 * 8,
        **settings,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=build_vae(),
        text_encoder=text_model(encoder),
        text_encoder_2=second.eval(),
        tokenizer=clip_tokenizer(encoder.tokenizer),
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(steps_offset=1),
        add_watermarker=False,
    ).to(dtype)
    return _prepared(pipeline)


def _prepared(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    record_attention(pipeline.unet)
    return pipeline


def pictures(pipeline, prompt, settings=FEW, **others) -> np.ndarray:
    """The finished pictures as one array."""
    *_, last = draw(pipeline, prompt, settings, **others)
    return np.stack([np.asarray(picture) for picture in last.pictures])
