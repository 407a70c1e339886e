"""Hugging Face's `CLIPModel`: `config.json` with `model.safetensors` or `pytorch_model.bin`, whole or in shards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from longclip.checkpoints.checkpoint import Checkpoint, CheckpointError, compare_states, empty_state
from longclip.checkpoints.files import INDEX, read_json, write_json, write_tensors
from longclip.checkpoints.hugging_face_config import read_config, read_processor, write_config
from longclip.preprocessing import Preprocessing, PreprocessingError
from longclip.tokenizer_files import SETTINGS

FORMAT = "hugging_face"
CONFIG, WEIGHTS, PREPROCESS = "config.json", "model.safetensors", "preprocessor_config.json"
PICKLE = "pytorch_model.bin"
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


def is_theirs(state: Mapping[str, Tensor]) -> bool:
    """Whether names are those of Hugging Face's `CLIPModel`."""
    return any(name.startswith(("text_model.", "vision_model.")) for name in state)


def find_weights(path: Path) -> Path | None:
    """The file of a folder's weights, safetensors before a pickle, or the index of its shards."""
    names = (place + end for place in (WEIGHTS, PICKLE) for end in (INDEX, ""))
    return next((path / name for name in names if (path / name).is_file()), None)


def read(path: Path, state: Mapping[str, Tensor]) -> Checkpoint:
    """Read a folder, in its stored precision, with the weights of one of its files."""
    settings = read_json(path / CONFIG)
    if KEYS["positional_embedding"] not in state:
        raise CheckpointError(f"read as {FORMAT}, the weights do not fit: missing key {KEYS['positional_embedding']!r}")
    positions = len(state[KEYS["positional_embedding"]])
    try:
        config = read_config(settings, context_length=positions)
    except (AttributeError, TypeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{CONFIG} in {path.name} is not the config of a CLIPModel: {error}") from error
    wanted = empty_state(config, FORMAT)
    compare_states(state, to_state(wanted), FORMAT)
    joined = {name: _join(name, state) for name in wanted}
    processor = read_processor(path)
    notes = []
    if not processor:
        notes.append("no image processor lies beside it: pictures are prepared as OpenAI's models want them")
    length = read_json(path / SETTINGS).get("model_max_length") if (path / SETTINGS).is_file() else None
    if isinstance(length, int) and length < positions:
        notes.append(f"its tokenizer says {length} tokens; the model has {positions} positions, and texts are read up to these")
    return Checkpoint(config, joined, FORMAT, processor=processor, notes=tuple(notes))


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a folder that `transformers.CLIPModel.from_pretrained` loads."""
    settings = write_config(checkpoint)
    try:
        size = checkpoint.config["vision_cfg"].get("image_size", 224)
        processor = checkpoint.processor or Preprocessing.from_config(size, checkpoint.preprocess).processor()
    except PreprocessingError as error:
        raise CheckpointError(f"the {FORMAT} format cannot hold this model: {error}") from error
    write_tensors(to_state(checkpoint.state), path / WEIGHTS)
    write_json(settings, path / CONFIG)
    write_json(processor, path / PREPROCESS)


def to_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Hugging Face's keys from open_clip's."""
    result = {}
    for name, value in state.items():
        theirs = _names(name)
        parts = value.chunk(len(theirs)) if len(theirs) > 1 else [value.T if name in TRANSPOSED else value]
        result.update(zip(theirs, parts, strict=True))
    return result


def from_theirs(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's keys from Hugging Face's, without a config; what is in no place of theirs keeps its name."""
    layers = {
        match[1] for match in map(re.compile(r"((?:vision|text)_model\.encoder\.layers\.\d+)\..*").fullmatch, state) if match
    }
    ours = [*KEYS, *TRANSPOSED]
    for layer in layers:
        tower, number = "visual." * layer.startswith("vision"), layer.rpartition(".")[2]
        for inner in ("attn.in_proj_", *(f"{name}." for name in IN_BLOCK)):
            ours += [f"{tower}transformer.resblocks.{number}.{inner}{kind}" for kind in ("weight", "bias")]
    places = {name: _names(name) for name in ours}
    known = {name: theirs for name, theirs in places.items() if all(part in state for part in theirs)}
    used = {part for theirs in known.values() for part in theirs}
    return {name: _join(name, state) for name in known} | {name: value for name, value in state.items() if name not in used}


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
