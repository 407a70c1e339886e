"""Embeddings in a file: tensors by name, and of what and by which weights they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_DTYPES = {"F32": np.float32, "F16": np.float16, "U8": np.uint8}


def write_embeddings(path: Path, embeddings: Mapping[str, np.ndarray], origin: Mapping[str, str]) -> None:
    """Writes arrays [n, dim] by name, with their origin, as one safetensors file."""
    from safetensors.numpy import save_file

    from longclip.checkpoints.files import part_of

    with part_of(path) as part:
        save_file(dict(embeddings), part, metadata=dict(origin))


def read_embeddings(path: Path, name: str, shape: tuple[int, int], origin: Mapping[str, str]) -> np.ndarray | None:
    """One array of a file, float32 [n, dim], rows of unit length.

    None where there is no such file or array, where it is damaged, of another shape, or of another origin.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            made_from, names = file.metadata() or {}, file.keys()
            if name not in names or any(made_from.get(part) != wanted for part, wanted in origin.items()):
                return None
            stored = file.get_tensor(name)
    except (SafetensorError, OSError, TypeError):  # the last for a number format that NumPy has not
        return None
    if stored.dtype not in (np.float16, np.float32) or stored.shape != shape:
        return None
    stored = stored.astype(np.float32)
    lengths = np.linalg.norm(stored, axis=1, keepdims=True)
    # Rounding to half precision took the rows off unit length, but not far; of NaN nothing is near.
    return stored / lengths if np.all(np.abs(lengths - 1) < 0.01) else None


def read_origin(path: Path) -> dict[str, str]:
    """Of what, and by which embedder, a file's embeddings were made; nothing for a damaged file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def map_embeddings(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file by name, read-only, mapped into memory and not read; and their origin.

    Raises ValueError for a file that is damaged, FileNotFoundError where there is none.
    """
    try:
        with path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(start - 8))
        content = np.memmap(path, np.uint8, mode="r")
        origin = header.pop("__metadata__", {})
        arrays = {}
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            dtype = _DTYPES[entry["dtype"]]
            arrays[name] = content[start + first : start + last].view(dtype).reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}): index again, and it is made anew") from None
    return arrays, origin
