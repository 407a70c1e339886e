"""Hugging Face's `CLIPModel`: a folder with `config.json` and `model.safetensors`, its index of shards, or a pickle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor

from longclip.checkpoints.checkpoint import PRECISIONS, Checkpoint, CheckpointError, compare_states, empty_state
from longclip.checkpoints.files import read_json, read_tensors, write_json, write_tensors
from longclip.model import Config

FORMAT = "hugging_face"
CONFIG, WEIGHTS, PREPROCESS = "config.json", "model.safetensors", "preprocessor_config.json"
INDEX, PICKLE = f"{WEIGHTS}.index.json", "pytorch_model.bin"
BUFFERS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
EPSILON = 1e-5  # of layer norms, in both libraries, where a config says nothing else
WHOLE = {  # open_clip's name -> theirs
    "logit_scale": "logit_scale",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
TRANSPOSED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
IN_BLOCK = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


def read(path: Path) -> Checkpoint:
    """Read a folder, in its stored precision."""
    settings = read_json(path / CONFIG)
    state = {name: value for name, value in _read_weights(path).items() if name not in BUFFERS}
    config = _read_config(settings, state)
    wanted = empty_state(config, FORMAT)
    compare_states(state, to_state(wanted), FORMAT)
    preprocess = read_json(path / PREPROCESS) if (path / PREPROCESS).is_file() else {}
    names = {"mean": "image_mean", "std": "image_std"}
    known = {ours: preprocess[theirs] for ours, theirs in names.items() if theirs in preprocess}
    return Checkpoint(config, {name: _join(name, state) for name in wanted}, FORMAT, known)


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a folder that `transformers.CLIPModel.from_pretrained` loads."""
    settings = _write_config(checkpoint)
    write_tensors(to_state(checkpoint.state), path / WEIGHTS)
    write_json(settings, path / CONFIG)
    size = checkpoint.config["vision_cfg"]["image_size"]
    preprocess = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": size},
        "crop_size": {"height": size, "width": size},
        "image_mean": checkpoint.preprocess.get("mean", OPENAI_DATASET_MEAN),
        "image_std": checkpoint.preprocess.get("std", OPENAI_DATASET_STD),
    }
    write_json(preprocess, path / PREPROCESS)


def to_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Hugging Face's keys from open_clip's."""
    result = {}
    for name, value in state.items():
        theirs = _names(name)
        parts = value.chunk(len(theirs)) if len(theirs) > 1 else [value.T if name in TRANSPOSED else value]
        result.update(zip(theirs, parts, strict=True))
    return result


def _names(name: str) -> list[str]:
    """Hugging Face's key, or three of them where open_clip holds queries, keys and values in one."""
    if name in WHOLE or name in TRANSPOSED:
        return [(WHOLE | TRANSPOSED)[name]]
    match = BLOCK.fullmatch(name)
    inner = match and match[3]
    if inner not in ("attn.in_proj", *IN_BLOCK):
        raise CheckpointError(f"the {FORMAT} format has no place for {name!r}")
    layer = f"{'vision' if match[1] else 'text'}_model.encoder.layers.{match[2]}"
    if inner == "attn.in_proj":
        return [f"{layer}.self_attn.{part}_proj.{match[4]}" for part in "qkv"]
    return [f"{layer}.{IN_BLOCK[inner]}.{match[4]}"]


def _join(name: str, state: Mapping[str, Tensor]) -> Tensor:
    """open_clip's tensor of this name from Hugging Face's state."""
    parts = [state[theirs] for theirs in _names(name)]
    if len(parts) > 1:
        return torch.cat(parts)
    return parts[0].T.contiguous() if name in TRANSPOSED else parts[0]


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not (path / INDEX).is_file():
        pickled = not (path / WEIGHTS).is_file() and (path / PICKLE).is_file()
        return read_tensors(path / (PICKLE if pickled else WEIGHTS))
    places = read_json(path / INDEX).get("weight_map")
    if not isinstance(places, dict) or any(Path(str(name)).name != name for name in places.values()):
        raise CheckpointError(f"{path / INDEX} has no 'weight_map' to files of its own folder")
    state: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        state |= read_tensors(path / name)
    lost = [name for name in places if name not in state]
    if lost:
        raise CheckpointError(f"{path / INDEX} names {lost[0]!r}, which its file does not hold")
    return state


def _read_config(settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> Config:
    """The open_clip config; the context length is that of the weights, as a stored config may lack it."""
    if settings.get("model_type", "clip") != "clip":
        raise CheckpointError(f"got a Hugging Face model of type {settings['model_type']!r}, wanted 'clip'")
    text, vision = (
        {**(settings.get(f"{tower}_config") or {}), **(settings.get(f"{tower}_config_dict") or {})}
        for tower in ("text", "vision")
    )
    activations = {text.get("hidden_act", "quick_gelu"), vision.get("hidden_act", "quick_gelu")}
    if activations not in ({"quick_gelu"}, {"gelu"}):
        raise CheckpointError(f"got activations {sorted(activations)}, wanted 'quick_gelu' or 'gelu' in both towers")
    table = state.get(WHOLE["positional_embedding"])
    if table is None:
        raise CheckpointError(f"read as {FORMAT}, the weights do not fit: missing key {WHOLE['positional_embedding']!r}")
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
            "mlp_ratio": vision.get("intermediate_size", 3072) / vision_width,
            **_read_norm(vision),
        },
        "text_cfg": {
            "context_length": len(table),
            "vocab_size": text.get("vocab_size", 49408),
            "width": text_width,
            "heads": text.get("num_attention_heads", 8),
            "layers": text.get("num_hidden_layers", 12),
            "mlp_ratio": text.get("intermediate_size", 2048) / text_width,
            **_read_norm(text),
        },
    }


def _read_norm(tower: Mapping[str, Any]) -> dict[str, Any]:
    epsilon = tower.get("layer_norm_eps", EPSILON)
    return {} if epsilon == EPSILON else {"norm_kwargs": {"eps": epsilon}}


def _write_config(checkpoint: Checkpoint) -> dict[str, Any]:
    config, state = checkpoint.config, checkpoint.state
    text, vision = config["text_cfg"], config["vision_cfg"]
    if vision.get("pool_type", "tok") != "tok":
        raise CheckpointError(f"the {FORMAT} format cannot hold images pooled by {vision['pool_type']!r}, only by 'tok'")
    positions, text_width = state["positional_embedding"].shape
    words = len(state["token_embedding.weight"])
    # pooling looks for the end id, CLIP's highest; with the defaults of another vocabulary it would read row 0
    end = text["eos_id"] if text.get("pool_type") == "eos" else words - 1
    vision_width = vision.get("width", 768)
    shared = {"hidden_act": "quick_gelu" if config.get("quick_gelu") else "gelu", "projection_dim": config["embed_dim"]}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": config["embed_dim"],
        "dtype": str(PRECISIONS.get(checkpoint.precision, torch.float32)).removeprefix("torch."),
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": words,
            "max_position_embeddings": positions,
            "hidden_size": text_width,
            "intermediate_size": len(state["transformer.resblocks.0.mlp.c_fc.bias"]),
            "num_hidden_layers": text.get("layers", 12),
            "num_attention_heads": text.get("heads", 8),
            "layer_norm_eps": (text.get("norm_kwargs") or {}).get("eps", EPSILON),
            "bos_token_id": words - 2,
            "eos_token_id": end,
            "pad_token_id": end,
            **shared,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "image_size": vision.get("image_size", 224),
            "patch_size": vision.get("patch_size", 16),
            "hidden_size": vision_width,
            "intermediate_size": len(state["visual.transformer.resblocks.0.mlp.c_fc.bias"]),
            "num_hidden_layers": vision.get("layers", 12),
            "num_attention_heads": vision_width // vision.get("head_width", 64),
            "layer_norm_eps": (vision.get("norm_kwargs") or {}).get("eps", EPSILON),
            **shared,
        },
    }
