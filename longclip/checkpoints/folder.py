"""Our own folder, which is open_clip's: `open_clip_config.json` beside `open_clip_model.safetensors`.

`open_clip.create_model("local-dir:FOLDER")` loads it, at its own context length. A reduced vocabulary's tokenizer
lies in the same folder, and `hf_tokenizer_name` in the text config says so.
"""

from __future__ import annotations

from pathlib import Path

from open_clip.constants import HF_CONFIG_NAME, HF_SAFE_WEIGHTS_NAME

from longclip.checkpoints.checkpoint import Checkpoint, CheckpointError, compare_states, empty_state
from longclip.checkpoints.files import read_json, read_tensors, write_json, write_tensors

FORMAT = "folder"


def read(path: Path) -> Checkpoint:
    """Read a folder."""
    content = read_json(path / HF_CONFIG_NAME)
    if not isinstance(content.get("model_cfg"), dict):
        raise CheckpointError(f"{path / HF_CONFIG_NAME} has no 'model_cfg'")
    config = content["model_cfg"]
    state = read_tensors(path / HF_SAFE_WEIGHTS_NAME)
    compare_states(state, empty_state(config, FORMAT), FORMAT)
    return Checkpoint(config, state, FORMAT, content.get("preprocess_cfg", {}))


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write config and weights into a folder, which may hold other files; it is made where there is none."""
    write_tensors(checkpoint.state, path / HF_SAFE_WEIGHTS_NAME)
    write_json({"model_cfg": checkpoint.config, "preprocess_cfg": checkpoint.preprocess}, path / HF_CONFIG_NAME)
