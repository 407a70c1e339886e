"""Embeddings in a file: tensors by name, and of what and by which weights they were made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_embeddings(path: Path, embeddings: Mapping[str, np.ndarray], origin: Mapping[str, str]) -> None:
    """Writes arrays [n, dim] by name, with their origin, as one safetensors file."""
    from safetensors.numpy import save_file

    from longclip.checkpoints.files import part_of

    with part_of(path) as part:
        save_file(dict(embeddings), part, metadata=dict(origin))


def read_embeddings(path: Path, name: str, origin: Mapping[str, str]) -> np.ndarray | None:
    """One array of a file, float32 [n, dim], rows of unit length.

    None where there is no such file or array, where it is damaged, or of another origin.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            made_from, names = file.metadata() or {}, file.keys()
            if name not in names or any(made_from.get(part) != wanted for part, wanted in origin.items()):
                return None
            stored = file.get_tensor(name).astype(np.float32)
    except (SafetensorError, OSError):
        return None
    # Rounding to half precision took the rows off unit length.
    return stored / np.linalg.norm(stored, axis=1, keepdims=True)
