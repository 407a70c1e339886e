"""The state of a run on disk: written whole or not at all, read back without unpickling code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

FILE = "state.pt"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and lists and dicts of them) beside the old one, then take its place."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / (FILE + ".new")
    with new.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)


def load_state(folder: Path) -> dict[str, Any] | None:
    """The state saved in `folder`, None where there is none.

    Raises ValueError where the file cannot be read: cut short, or not a state.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged archive
        raise ValueError(f"{path} cannot be read as the state of a run ({error}); remove it to begin anew") from error
