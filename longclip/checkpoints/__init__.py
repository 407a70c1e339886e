"""Checkpoints in every format read and written here, one adapter each.

| format | is |
| --- | --- |
| `open_clip` | a file of open_clip's or OpenAI's weights |
| `longclip` | the official Long-CLIP `.pt` |
| `hugging_face` | a folder of a `transformers.CLIPModel` |
| `folder` | our own: `open_clip_config.json` and `open_clip_model.safetensors` |

The file that is named is the file that is read (`weights.py`); a folder stands for the weights it has.
"""

from __future__ import annotations

import logging
from os import PathLike
from pathlib import Path

from open_clip.constants import HF_CONFIG_NAME

from longclip.checkpoints import folder, hugging_face, longclip, open_clip, weights
from longclip.checkpoints.checkpoint import PRECISIONS, Checkpoint, CheckpointError, check_finite, checkpoint_of
from longclip.checkpoints.configurations import Named
from longclip.checkpoints.foreign import name_format

__all__ = ["FORMATS", "PRECISIONS", "Checkpoint", "CheckpointError", "checkpoint_of", "read", "write"]

ADAPTERS = {adapter.FORMAT: adapter for adapter in (open_clip, longclip, hugging_face, folder)}
FORMATS = tuple(ADAPTERS)
WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
OTHERS = (".msgpack", ".h5", ".onnx", ".gguf")

log = logging.getLogger(__name__)


def read(path: str | PathLike[str], config: Named | None = None) -> Checkpoint:
    """Read a file or a folder, in whichever of `FORMATS` it is.

    A bare file of open_clip weights holds no configuration. `config` names it: one of `open_clip.list_models()`, the path
    of an `open_clip_config.json` or `config.json`, or its content. Without it, the one that lies beside the file is taken,
    else the only one of open_clip's that its shapes fit. What was chosen is in the checkpoint's `notes`, and logged.

    Raises CheckpointError, a ValueError, with a sentence for everything that cannot be read, holds a weight that is no
    finite number, or is of no known configuration.
    """
    path = Path(path)
    checkpoint = _read_folder(path, config) if path.is_dir() else weights.read(path, config)
    check_finite(checkpoint.state, path.name)
    for note in checkpoint.notes:
        log.info("%s: %s", path.name, note)
    return checkpoint


def _read_folder(path: Path, config: Named | None) -> Checkpoint:
    own, theirs = (path / HF_CONFIG_NAME).is_file(), (path / hugging_face.CONFIG).is_file()
    if config is not None and (own or theirs):
        raise CheckpointError(
            f"{path.name} is a folder with its own configuration: leave {config!r} away, or name a file in it"
        )
    found = (folder.find_weights(path) if own or not theirs else None) or hugging_face.find_weights(path)
    if found is None:
        found = _find_only(path, own or theirs)
    if theirs and not own:
        return weights.read(found, config)
    return weights.read(found, config, folder.FORMAT if own else open_clip.FORMAT)


def _find_only(path: Path, configured: bool) -> Path:
    """The only file of weights in a folder, whatever its name."""
    if (path / "model_index.json").is_file():
        raise CheckpointError(f"folder {path.name} is a diffusion pipeline, wanted a CLIP")
    found = sorted(file for file in path.iterdir() if file.suffix in WEIGHTS and file.is_file())
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found[:5])
        raise CheckpointError(f"folder {path.name} has {len(found)} files of weights: name one of {names}")
    for file in sorted(file for file in path.iterdir() if file.suffix in OTHERS):
        raise CheckpointError(
            f"folder {path.name} has {file.name}, {name_format(file)}: wanted safetensors or a file of torch.save"
        )
    if configured:
        wanted = f"neither {folder.HF_SAFE_WEIGHTS_NAME} nor {hugging_face.WEIGHTS} nor {hugging_face.PICKLE}, nor any other"
        raise CheckpointError(f"folder {path.name} has a configuration, but no weights: {wanted}")
    raise CheckpointError(f"folder {path.name} has neither {HF_CONFIG_NAME} nor {hugging_face.CONFIG}, nor weights")


def write(checkpoint: Checkpoint, path: str | PathLike[str], format: str = folder.FORMAT) -> None:
    """Write a checkpoint: a file for `open_clip` and `longclip`, a folder for the others, made where there is none.

    Raises CheckpointError for an unknown format, and for a model that the format cannot hold.
    """
    if format not in ADAPTERS:
        raise CheckpointError(f"got format {format!r}, wanted one of {', '.join(FORMATS)}")
    ADAPTERS[format].write(checkpoint, Path(path))
