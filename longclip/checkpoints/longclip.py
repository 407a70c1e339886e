"""The official Long-CLIP `.pt`: OpenAI's keys, and the text positions in two tables of 248 rows.

The official forward pass reads rows 0-19 of `positional_embedding` (frozen in training) and rows 20-247 of
`positional_embedding_res` (trained). Reading merges the two; writing fills both with the merged table, so that
the rows never read hold the values in use as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from open_clip.transform import PreprocessCfg
from torch import Tensor

from longclip.checkpoints.checkpoint import Checkpoint, CheckpointError, compare_states, empty_state
from longclip.checkpoints.files import write_tensors
from longclip.checkpoints.open_clip import SCALARS, openai_config
from longclip.model import Config

FORMAT = "longclip"
ROWS, KEPT = 248, 20
FIRST, SECOND = "positional_embedding", "positional_embedding_res"


def merge(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Config]:
    """open_clip's keys from the official ones, in their stored precision, and the config by which the official code runs."""
    state = {name: value for name, value in state.items() if name not in SCALARS}
    config = openai_config(state, FORMAT)
    config["text_cfg"]["context_length"] = ROWS
    compare_states(state, to_state(empty_state(config, FORMAT)), FORMAT)
    second = state.pop(SECOND)
    return state | {FIRST: torch.cat([state[FIRST][:KEPT], second[KEPT:]])}, config


def to_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official keys from open_clip's."""
    return {**state, SECOND: state[FIRST]}


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write the official layout. Refuses what the official code would run otherwise: it has no config to read."""
    wanted = openai_config(checkpoint.state, FORMAT)
    text, vision = checkpoint.config["text_cfg"], checkpoint.config["vision_cfg"]
    usual = vars(PreprocessCfg())
    own = checkpoint.configuration()["preprocess_cfg"]
    odd = [name for name, value in own.items() if name != "size" and _plain(value) != _plain(usual.get(name))]
    faults = {
        f"context length {wanted['text_cfg']['context_length']}, wanted {ROWS}": wanted["text_cfg"]["context_length"] != ROWS,
        "GELU, wanted QuickGELU": not checkpoint.config.get("quick_gelu", False),
        f"{text.get('heads', 8)} text heads, wanted width / 64": text.get("heads", 8) != wanted["text_cfg"]["heads"],
        f"vision heads {vision.get('head_width', 64)} wide, wanted 64": vision.get("head_width", 64) != 64,
        f"preprocessing of its own ({', '.join(odd)}), wanted OpenAI's": bool(odd),
    }
    if any(faults.values()):
        reasons = "; ".join(reason for reason, wrong in faults.items() if wrong)
        raise CheckpointError(f"the {FORMAT} format cannot hold this model: it has {reasons}")
    compare_states(checkpoint.state, empty_state(wanted, FORMAT), FORMAT)
    write_tensors(to_state(checkpoint.state), path)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
