"""Checkpoints in every format read and written here, one adapter each.

| format | is |
| --- | --- |
| `open_clip` | a file of open_clip's or OpenAI's weights |
| `longclip` | the official Long-CLIP `.pt` |
| `hugging_face` | a folder of a `transformers.CLIPModel` |
| `folder` | our own: `open_clip_config.json` and `open_clip_model.safetensors` |
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from open_clip.constants import HF_CONFIG_NAME

from longclip.checkpoints import folder, hugging_face, longclip, open_clip
from longclip.checkpoints.checkpoint import PRECISIONS, Checkpoint, CheckpointError, checkpoint_of
from longclip.checkpoints.files import read_tensors
from longclip.model import Config

__all__ = ["FORMATS", "PRECISIONS", "Checkpoint", "CheckpointError", "checkpoint_of", "read", "write"]

ADAPTERS = {adapter.FORMAT: adapter for adapter in (open_clip, longclip, hugging_face, folder)}
FORMATS = tuple(ADAPTERS)


def read(path: str | PathLike[str], config: Config | None = None, quick_gelu: bool = True) -> Checkpoint:
    """Read a file or a folder, in whichever of `FORMATS` it is.

    A bare file of open_clip weights holds no config: pass it as `config`, or let sizes come from the shapes and say
    with `quick_gelu` which GELU (OpenAI's and Long-CLIP's models: the quick one). Other formats need neither.

    Raises CheckpointError, a ValueError, with a sentence for everything that cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        if (path / HF_CONFIG_NAME).is_file():
            return folder.read(path)
        if (path / hugging_face.CONFIG).is_file():
            return hugging_face.read(path)
        raise CheckpointError(f"folder {path} has neither {HF_CONFIG_NAME} nor {hugging_face.CONFIG}")
    state = read_tensors(path)
    if longclip.SECOND in state:
        return longclip.from_state(state)
    if any(name.startswith("text_model.") for name in state):
        return hugging_face.read(path.parent)
    return open_clip.from_state(state, config, quick_gelu)


def write(checkpoint: Checkpoint, path: str | PathLike[str], format: str = folder.FORMAT) -> None:
    """Write a checkpoint: a file for `open_clip` and `longclip`, a folder for the others, made where there is none.

    Raises CheckpointError for an unknown format, and for a model that the format cannot hold.
    """
    if format not in ADAPTERS:
        raise CheckpointError(f"got format {format!r}, wanted one of {', '.join(FORMATS)}")
    ADAPTERS[format].write(checkpoint, Path(path))
