"""The configs of Hugging Face's `CLIPModel` and of open_clip, one from the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from longclip.checkpoints.checkpoint import PRECISIONS, Checkpoint, CheckpointError, mlp_ratio
from longclip.checkpoints.files import read_json
from longclip.model import Config
from longclip.preprocessing import PROCESSOR_FILES

FULL = 49408  # tokens of CLIP, where a config says nothing else
EPSILON = 1e-5  # of layer norms, in both libraries, where a config says nothing else


def read_config(settings: Mapping[str, Any], context_length: int) -> Config:
    """The open_clip config of a `config.json`; the context length is the weights', as a stored config may lack it.

    Raises CheckpointError for another kind of model and for activations other than GELU and QuickGELU.
    """
    if settings.get("model_type", "clip") != "clip":
        raise CheckpointError(f"got a Hugging Face model of type {settings['model_type']!r}, wanted 'clip'")
    text, vision = (
        {**(settings.get(f"{tower}_config") or {}), **(settings.get(f"{tower}_config_dict") or {})}
        for tower in ("text", "vision")
    )
    activations = {text.get("hidden_act", "quick_gelu"), vision.get("hidden_act", "quick_gelu")}
    if activations not in ({"quick_gelu"}, {"gelu"}):
        raise CheckpointError(f"got activations {sorted(activations)}, wanted 'quick_gelu' or 'gelu' in both towers")
    vision_width, text_width = vision.get("hidden_size", 768), text.get("hidden_size", 512)
    return {
        "embed_dim": settings.get("projection_dim", 512),
        "quick_gelu": activations == {"quick_gelu"},
        "vision_cfg": {
            "image_size": vision.get("image_size", 224),
            "patch_size": vision.get("patch_size", 32),
            "width": vision_width,
            "head_width": vision_width // vision.get("num_attention_heads", 12),
            "layers": vision.get("num_hidden_layers", 12),
            "mlp_ratio": mlp_ratio(vision.get("intermediate_size", 3072), vision_width),
            **_read_norm(vision),
        },
        "text_cfg": {
            "context_length": context_length,
            "vocab_size": text.get("vocab_size", 49408),
            "width": text_width,
            "heads": text.get("num_attention_heads", 8),
            "layers": text.get("num_hidden_layers", 12),
            "mlp_ratio": mlp_ratio(text.get("intermediate_size", 2048), text_width),
            **_read_norm(text),
            **_read_end(text),
        },
    }


def read_processor(folder: Path) -> dict[str, Any] | None:
    """The settings of a folder's image processor, from the file that transformers prefers; None where there is none."""
    for file in (folder / name for name in PROCESSOR_FILES):
        settings: Any = read_json(file) if file.is_file() else {}
        # What transformers 5 writes holds the processors of text and pictures; what came before it, neither.
        settings = settings.get("image_processor") if file.name == PROCESSOR_FILES[0] else settings
        if isinstance(settings, dict) and settings:
            return settings
    return None


def _read_end(text: Mapping[str, Any]) -> dict[str, Any]:
    """Where the feature of a text is read: at the config's end id, or, with the number 2 of old configs, at the highest id."""
    words, end = text.get("vocab_size", FULL), text.get("eos_token_id", FULL - 1)
    if not isinstance(end, int) or not 0 <= end < words:
        raise CheckpointError(
            f"its config says that a text ends with id {end}, and it has {words:,} ids: transformers would read every text at "
            "its start; wanted the id of <|endoftext|> as eos_token_id"
        )
    if end in (2, words - 1):
        # For a vocabulary with tokens behind the end token, 2 is to be written again.
        return {"eos_id": 2} if end == 2 and words != FULL else {}
    return {"pool_type": "eos", "eos_id": end}


def _read_norm(tower: Mapping[str, Any]) -> dict[str, Any]:
    epsilon = tower.get("layer_norm_eps", EPSILON)
    return {} if epsilon == EPSILON else {"norm_kwargs": {"eps": epsilon}}


def write_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The `config.json` of a checkpoint. Raises CheckpointError for a ResNet, and for images not pooled at the class token."""
    config, state = checkpoint.config, checkpoint.state
    vision = config["vision_cfg"]
    if "visual.layer1.0.conv1.weight" in state:
        raise CheckpointError("the hugging_face format cannot hold a CLIP with a ResNet, only one with a vision transformer")
    if vision.get("pool_type", "tok") != "tok":
        raise CheckpointError(f"the hugging_face format cannot hold images pooled by {vision['pool_type']!r}, only by 'tok'")
    vision_width = vision.get("width", 768)
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": config["embed_dim"],
        "dtype": str(PRECISIONS.get(checkpoint.precision, torch.float32)).removeprefix("torch."),
        "text_config": write_text_config(checkpoint),
        "vision_config": {
            "model_type": "clip_vision_model",
            "image_size": vision.get("image_size", 224),
            "patch_size": vision.get("patch_size", 16),
            "hidden_size": vision_width,
            "intermediate_size": len(state["visual.transformer.resblocks.0.mlp.c_fc.bias"]),
            "num_hidden_layers": vision.get("layers", 12),
            "num_attention_heads": vision_width // vision.get("head_width", 64),
            "layer_norm_eps": (vision.get("norm_kwargs") or {}).get("eps", EPSILON),
            **_shared(config),
        },
    }


def write_text_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """What `CLIPTextConfig` takes, of a checkpoint's text tower; whatever its vision tower is."""
    config, state = checkpoint.config, checkpoint.state
    text = config["text_cfg"]
    positions, width = state["positional_embedding"].shape
    words = len(state["token_embedding.weight"])
    # pooling looks for the end id, CLIP's highest; with the defaults of another vocabulary it would read row 0
    end = text.get("eos_id", words - 1)
    return {
        "model_type": "clip_text_model",
        "vocab_size": words,
        "max_position_embeddings": positions,
        "hidden_size": width,
        "intermediate_size": len(state["transformer.resblocks.0.mlp.c_fc.bias"]),
        "num_hidden_layers": text.get("layers", 12),
        "num_attention_heads": text.get("heads", 8),
        "layer_norm_eps": (text.get("norm_kwargs") or {}).get("eps", EPSILON),
        "bos_token_id": words - 2,
        "eos_token_id": end,
        "pad_token_id": end,
        **_shared(config),
    }


def _shared(config: Config) -> dict[str, Any]:
    return {"hidden_act": "quick_gelu" if config.get("quick_gelu") else "gelu", "projection_dim": config["embed_dim"]}
