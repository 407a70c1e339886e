"""Hugging Face's `CLIPModel`: `config.json` with `model.safetensors` or `pytorch_model.bin`, whole or in shards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor

from longclip.checkpoints.checkpoint import Checkpoint, CheckpointError, compare_states, empty_state
from longclip.checkpoints.files import read_json, read_tensors, write_json, write_tensors
from longclip.checkpoints.hugging_face_config import read_config, write_config

FORMAT = "hugging_face"
CONFIG, WEIGHTS, PREPROCESS = "config.json", "model.safetensors", "preprocessor_config.json"
PICKLE = "pytorch_model.bin"
BUFFERS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
KEYS = {  # open_clip's name -> theirs
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
    if KEYS["positional_embedding"] not in state:
        raise CheckpointError(f"read as {FORMAT}, the weights do not fit: missing key {KEYS['positional_embedding']!r}")
    config = read_config(settings, context_length=len(state[KEYS["positional_embedding"]]))
    wanted = empty_state(config, FORMAT)
    compare_states(state, to_state(wanted), FORMAT)
    preprocess = read_json(path / PREPROCESS) if (path / PREPROCESS).is_file() else {}
    names = {"mean": "image_mean", "std": "image_std"}
    known = {ours: preprocess[theirs] for ours, theirs in names.items() if theirs in preprocess}
    return Checkpoint(config, {name: _join(name, state) for name in wanted}, FORMAT, known)


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a folder that `transformers.CLIPModel.from_pretrained` loads."""
    settings = write_config(checkpoint)
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
    if name in KEYS or name in TRANSPOSED:
        return [(KEYS | TRANSPOSED)[name]]
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
    """All tensors of a folder: safetensors if there are any, else a pickle; in shards where an index lists them."""
    for name in (WEIGHTS, PICKLE):
        if (path / f"{name}.index.json").is_file():
            return _read_shards(path / f"{name}.index.json")
        if (path / name).is_file():
            return read_tensors(path / name)
    raise CheckpointError(f"folder {path} has a {CONFIG}, but neither {WEIGHTS} nor {PICKLE}, nor an index of their shards")


def _read_shards(index: Path) -> dict[str, Tensor]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or any(Path(str(name)).name != name for name in places.values()):
        raise CheckpointError(f"{index} has no 'weight_map' to files of its own folder")
    state: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        state |= read_tensors(index.parent / name)
    lost = [name for name in places if name not in state]
    if lost:
        raise CheckpointError(f"{index} names {lost[0]!r}, which its file does not hold")
    return state
