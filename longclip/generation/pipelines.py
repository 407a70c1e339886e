"""Diffusion pipelines by name, and the same pipeline with another text encoder."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import hub
from ..devices import choose_device
from ..encoder import Encoder
from ..manifest import check_model
from ..registry import assets
from .prompts import text_towers
from .quiet import hide_loading_bars
from .specs import EMBEDDED, SPECS
from .text_models import clip_tokenizer, final_norm, stretch_text_model, text_model
from .word_maps import record_attention

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import CLIPTextModel

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def load_pipeline(
    name: str,
    device: str | None = None,
    dtype: str = "fp32",
    offload: bool = False,
    slicing: bool = False,
    progress: hub.Progress | None = None,
) -> DiffusionPipeline:
    """A pipeline by a name of `SPECS`, a folder in the layout of diffusers, or ``hf-hub:owner/name[@revision]``, on the fastest
    device if none is named.

    offload and slicing are diffusers' own: parts wait in the CPU's memory; the VAE decodes one picture at a time.
    Only safetensors are read. Raises ValueError for what is none of these or holds no such pipeline, FileNotFoundError
    where the embedded one was not built, HubError for one that cannot be fetched.
    """
    from diffusers import DiffusionPipeline

    if dtype not in DTYPES:
        raise ValueError(f"got dtype {dtype!r}, wanted one of {', '.join(DTYPES)}")
    where = choose_device(device)
    if offload and where.type == "cpu":
        raise ValueError("offload keeps parts in the CPU's memory until a GPU needs them: wanted a device other than 'cpu'")
    folder = _locate(name, progress)
    if not (folder / "model_index.json").is_file():
        raise ValueError(f"{folder} has no model_index.json: wanted a folder that a diffusers pipeline was saved to")
    hide_loading_bars()
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            folder, dtype=DTYPES[dtype], use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{name} cannot be loaded as a diffusion pipeline: {reason}") from error
    text_towers(pipeline)
    if getattr(pipeline, "unet", None) is None:
        raise ValueError(f"{type(pipeline).__name__} has no U-Net: wanted a pipeline of Stable Diffusion 1.x, 2.x or SDXL")
    pipeline.set_progress_bar_config(disable=True)
    record_attention(pipeline.unet)
    if slicing:
        pipeline.vae.enable_slicing()
    if offload:
        pipeline.enable_model_cpu_offload(device=where)
    else:
        pipeline.to(where)
    return pipeline


def swap(pipeline: DiffusionPipeline, encoder: Encoder) -> DiffusionPipeline:
    """A second pipeline that reads prompts with `encoder`, and shares everything else but the scheduler's state.

    Where the pipeline's own text encoder has fewer blocks, as many of the encoder's are read, and the pipeline's own norm
    behind them, as the encoder's belongs to its last block. A second text encoder (SDXL's) is stretched to as many
    positions, untrained. `pipeline` stays as it is: there is nothing to put back. Raises ValueError where the encoder's
    states are not as wide as the pipeline's U-Net reads them.
    """
    first, *second = text_towers(pipeline)
    width, wanted = encoder.model.config["text_cfg"]["width"], first.model.config.hidden_size
    if width != wanted:
        fitting = "; CLIP ViT-L/14 and LongCLIP-L fit 768" if wanted == 768 else ""
        raise ValueError(
            f"{encoder.spec.name} gives text states {width} wide, and this pipeline was trained on states {wanted} wide: "
            f"wanted an encoder of that width{fitting}"
        )
    dtype, device = first.model.dtype, first.model.device
    parts: dict[str, Any] = {
        "text_encoder": _read_as(first.model, encoder).to(device, dtype),
        "tokenizer": clip_tokenizer(encoder.tokenizer),
    }
    parts["tokenizer"].pad_token = pipeline.tokenizer.pad_token
    if second and encoder.context_length > second[0].length:
        stretched = stretch_text_model(pipeline.text_encoder_2)
        second_tokenizer = copy.deepcopy(pipeline.tokenizer_2)
        second_tokenizer.model_max_length = stretched.config.max_position_embeddings
        parts |= {"text_encoder_2": stretched, "tokenizer_2": second_tokenizer}
    parts["scheduler"] = copy.deepcopy(pipeline.scheduler)
    # Not by from_pipe: it casts all parts, those that both share too, to one precision.
    taken = inspect.signature(type(pipeline).__init__).parameters
    asked = {name: value for name, value in pipeline.config.items() if name in taken and name not in pipeline.components}
    swapped = type(pipeline)(**pipeline.components | parts, **asked)
    if "_name_or_path" in pipeline.config:
        swapped.register_to_config(_name_or_path=pipeline.config["_name_or_path"])
    swapped.set_progress_bar_config(disable=True)
    return swapped


def _read_as(own: CLIPTextModel, encoder: Encoder) -> CLIPTextModel:
    """The encoder's text tower, as deep as a pipeline's own."""
    model = text_model(encoder, own.config.num_hidden_layers)
    if model.config.num_hidden_layers < encoder.model.config["text_cfg"]["layers"]:
        final_norm(model).load_state_dict(final_norm(own).state_dict())
    return model


def _locate(name: str, progress: hub.Progress | None) -> Path:
    spec = next((spec for spec in SPECS if spec.name == name), None)
    if name == EMBEDDED:
        folder = assets() / "models" / EMBEDDED
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {EMBEDDED} in the assets: this pipeline has not been built here")
        check_model(folder)
        return folder
    if spec is not None:
        return hub.fetch_pipeline(spec.repository, spec.revision, progress).path
    if name.startswith("hf-hub:"):
        repository, _, revision = name.removeprefix("hf-hub:").partition("@")
        return hub.fetch_pipeline(repository, revision or "main", progress).path
    if name and Path(name).is_dir():
        return Path(name)
    known = ", ".join(spec.name for spec in SPECS)
    raise ValueError(f"pipeline {name!r} is unknown; there are {known}, a folder, or hf-hub:owner/name")
