"""State dicts of open_clip and OpenAI: one file of weights. OpenAI's say what they are, open_clip's need a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from longclip.checkpoints.checkpoint import Checkpoint, CheckpointError, mlp_ratio
from longclip.checkpoints.files import write_json, write_tensors
from longclip.model import Config

FORMAT = "open_clip"
SCALARS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's state dicts hold beside the weights, and open_clip's do not."""


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write the weights, as safetensors or with torch.save by the name's end, and their configuration beside them."""
    configuration = checkpoint.configuration()
    write_tensors(checkpoint.state, path)
    write_json(configuration, configuration_file(path))


def configuration_file(path: Path) -> Path:
    """Where the configuration of a file of weights is written: beside it, under its whole name, so that none is another's."""
    return path.with_name(path.name + ".json")


def openai_config(state: Mapping[str, Tensor], format: str) -> Config:
    """The config of weights that OpenAI's own code runs, or the official Long-CLIP's, which is made from it.

    That code reads sizes off the shapes, takes heads 64 wide and has QuickGELU; it runs a vision transformer or a ResNet.
    """
    positions, text_width = _shape(state, "positional_embedding", 2, format)
    return {
        "embed_dim": _shape(state, "text_projection", 2, format)[1],
        "quick_gelu": True,
        "vision_cfg": (_resnet if "visual.layer1.0.conv1.weight" in state else _transformer)(state, format),
        "text_cfg": {
            "context_length": positions,
            "vocab_size": _shape(state, "token_embedding.weight", 2, format)[0],
            "width": text_width,
            "heads": text_width // 64,
            **_tower(state, "transformer", text_width, format),
        },
    }


def _transformer(state: Mapping[str, Tensor], format: str) -> Config:
    width, _, _, patch = _shape(state, "visual.conv1.weight", 4, format)
    grid = _grid(state, "visual.positional_embedding", format)
    return {
        "image_size": grid * patch,
        "patch_size": patch,
        "width": width,
        **_tower(state, "visual.transformer", width, format),
    }


def _resnet(state: Mapping[str, Tensor], format: str) -> Config:
    blocks = {tuple(name.split(".")[1:3]) for name in state if name.startswith("visual.layer")}
    return {
        # One position of the pooling for each 32 x 32 pixels.
        "image_size": 32 * _grid(state, "visual.attnpool.positional_embedding", format),
        "patch_size": None,
        "width": _shape(state, "visual.layer1.0.conv1.weight", 4, format)[0],
        "layers": [sum(stage == f"layer{number}" for stage, _ in blocks) for number in (1, 2, 3, 4)],
    }


def _grid(state: Mapping[str, Tensor], name: str, format: str) -> int:
    """Patches on a side, from a table of positions: one row each, and one for the whole."""
    patches = _shape(state, name, 2, format)[0] - 1
    grid = round(patches**0.5)
    if grid * grid != patches:
        raise CheckpointError(f"read as {format}, {name!r} has {patches + 1} rows, wanted a square and 1")
    return grid


def _tower(state: Mapping[str, Tensor], prefix: str, width: int, format: str) -> dict[str, int | float]:
    first = f"{prefix}.resblocks."
    layers = {name.removeprefix(first).split(".")[0] for name in state if name.startswith(first)}
    hidden = _shape(state, f"{first}0.mlp.c_fc.weight", 2, format)[0]
    return {"layers": len(layers), "mlp_ratio": mlp_ratio(hidden, width)}


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int, format: str) -> tuple[int, ...]:
    if name not in state:
        raise CheckpointError(f"read as {format}, the weights do not fit: missing key {name!r}")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions:
        raise CheckpointError(f"read as {format}, {name!r} has shape {list(shape)}, wanted {dimensions} dimensions")
    return shape
