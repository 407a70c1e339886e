"""The states of a run on disk: each written whole or not at all, read back without unpickling code, the last few kept."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch

_NAME = "state-{:08d}.pt"
_PATTERN = re.compile(r"state-(\d{8})\.pt")


def find_states(folder: Path) -> list[Path]:
    """The states in a folder, the oldest first."""
    return sorted(path for path in folder.glob("state-*.pt") if _PATTERN.fullmatch(path.name))


def save_state(folder: Path, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `state` (tensors, numbers, strings, and lists and dicts of them; `step` names it) and drop all but `keep`.

    Raises OSError, in a sentence, where it cannot be written, such as on a full disk: the states already there stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAME.format(state["step"])
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError for what it cannot write
        new.unlink(missing_ok=True)
        left = find_states(folder)
        older = f"the last state there is {left[-1].name}" if left else "there is no older one"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise OSError(f"the state of step {state['step']} cannot be written to {folder} ({reason}); {older}") from error
    for old in find_states(folder)[:-keep]:
        old.unlink()
    return path


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest state in `folder`, None where there is none.

    Raises ValueError where that file cannot be read: cut short, or not a state. Nothing is removed.
    """
    states = find_states(folder)
    if not states:
        return None
    path = states[-1]
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged archive
        older = f"to go on from {states[-2].name}" if len(states) > 1 else "to begin anew"
        raise ValueError(f"{path} cannot be read as the state of a run ({_first(error)}); remove it {older}") from error


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
