"""Our own folder, which is open_clip's: `open_clip_config.json` beside `open_clip_model.safetensors`.

`open_clip.create_model("local-dir:FOLDER")` loads it, at its own context length. A reduced vocabulary's tokenizer
lies in the same folder, and `hf_tokenizer_name` in the text config says so.
"""

from __future__ import annotations

from pathlib import Path

from open_clip.constants import HF_CONFIG_NAME, HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from longclip.checkpoints.checkpoint import Checkpoint
from longclip.checkpoints.files import INDEX, write_json, write_tensors

FORMAT = "folder"


def find_weights(path: Path) -> Path | None:
    """The file of a folder's weights, by the names that open_clip looks for, in its order; or the index of its shards."""
    for name in (HF_SAFE_WEIGHTS_NAME, "open_clip_pytorch_model.safetensors", HF_WEIGHTS_NAME, "open_clip_pytorch_model.pth"):
        for place in (path / name, path / f"{name}{INDEX}"):
            if place.is_file():
                return place
    return None


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write config and weights into a folder, which may hold other files; it is made where there is none."""
    configuration = checkpoint.configuration()
    write_tensors(checkpoint.state, path / HF_SAFE_WEIGHTS_NAME)
    write_json(configuration, path / HF_CONFIG_NAME)
