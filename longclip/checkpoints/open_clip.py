"""State dicts of open_clip and OpenAI: one file of weights, the config read off their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from longclip.checkpoints.checkpoint import Checkpoint, CheckpointError, compare_states, empty_state, mlp_ratio
from longclip.checkpoints.files import read_tensors, write_tensors
from longclip.model import Config

FORMAT = "open_clip"
SCALARS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's state dicts hold beside the weights."""


def read(path: Path, config: Config | None = None, quick_gelu: bool = True) -> Checkpoint:
    """Read a file of weights. Without `config`, sizes come from the shapes and `quick_gelu` says which GELU."""
    return from_state(read_tensors(path), config, quick_gelu)


def from_state(state: Mapping[str, Tensor], config: Config | None = None, quick_gelu: bool = True) -> Checkpoint:
    """`read` for weights in memory."""
    state = {name: value for name, value in state.items() if name not in SCALARS}
    config = config or infer_config(state, quick_gelu, FORMAT)
    compare_states(state, empty_state(config, FORMAT), FORMAT)
    return Checkpoint(config, state, FORMAT)


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write the weights alone: safetensors, or torch.save, by the name's end."""
    write_tensors(checkpoint.state, path)


def infer_config(state: Mapping[str, Tensor], quick_gelu: bool, format: str) -> Config:
    """The open_clip config of a CLIP with a vision transformer, from its shapes; heads are width / 64."""
    kernel = _shape(state, "visual.conv1.weight", 4, format)
    if "visual.layer1.0.conv1.weight" in state:
        raise CheckpointError(f"read as {format}, this is a CLIP with a ResNet: give its open_clip config with it")
    patches = _shape(state, "visual.positional_embedding", 2, format)[0] - 1
    grid = round(patches**0.5)
    if grid * grid != patches:
        raise CheckpointError(f"read as {format}, 'visual.positional_embedding' has {patches + 1} rows, wanted a square and 1")
    positions, text_width = _shape(state, "positional_embedding", 2, format)
    vision_width, patch = kernel[0], kernel[3]
    return {
        "embed_dim": _shape(state, "text_projection", 2, format)[1],
        "quick_gelu": quick_gelu,
        "vision_cfg": {
            "image_size": grid * patch,
            "patch_size": patch,
            "width": vision_width,
            **_tower(state, "visual.transformer", vision_width, format),
        },
        "text_cfg": {
            "context_length": positions,
            "vocab_size": _shape(state, "token_embedding.weight", 2, format)[0],
            "width": text_width,
            "heads": text_width // 64,
            **_tower(state, "transformer", text_width, format),
        },
    }


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
