"""Embeddings of parts that a gallery no longer has: found by content, so that what only moved is not encoded again."""

from __future__ import annotations

from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..embeddings import map_embeddings
from ..gallery import IMAGE, TEXT

KEY_BYTES = 16


class Leftovers:
    """The vectors in a folder's files but for those `wanted`, by the key of what they were made of.

    A key takes 16 bytes of memory and its place 8, also where ten million pictures were moved.
    """

    def __init__(self, folder: Path, wanted: Container[str], dim: int) -> None:
        self._files: list[dict[str, np.ndarray]] = []
        for file in sorted(folder.glob("*.safetensors")):
            # Damaged, or removed by another process: then there is only more to encode.
            with suppress(ValueError, OSError):
                if file.stem not in wanted:
                    arrays = map_embeddings(file)[0]
                    if all(_fits(arrays, kind, dim) for kind in (IMAGE, TEXT) if kind in arrays):
                        self._files.append(arrays)
        self._kinds: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def find(self, kind: str, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """For each key its vector [dim], or None."""
        if kind not in self._kinds:
            self._kinds[kind] = self._read(kind)
        known, order, starts = self._kinds[kind]
        if not len(known) or not keys:
            return [None] * len(keys)
        wanted = np.array(keys, dtype=known.dtype)
        places = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
        rows = order[places]
        files = np.searchsorted(starts, rows, side="right") - 1
        found: list[np.ndarray | None] = []
        for row, file, same in zip(rows, files, known[rows] == wanted, strict=True):
            vector = self._files[file][kind][row - starts[file]] if same else None
            # One of NaN is of a picture that was broken: whether it still is, is found anew.
            found.append(vector if vector is not None and abs(np.linalg.norm(vector) - 1) < 0.01 else None)
        return found

    def _read(self, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All keys, the order that sorts them, and the number of the first key of each file."""
        none = np.empty((0, KEY_BYTES), np.uint8)
        tables = [file.get(f"{kind}_keys", none) for file in self._files]
        starts = np.cumsum([0, *map(len, tables)])[:-1]
        joined = np.concatenate([none, *tables])
        known = np.ascontiguousarray(joined).view(f"S{KEY_BYTES}").ravel()
        return known, np.argsort(known, kind="stable"), starts


def _fits(arrays: dict[str, np.ndarray], kind: str, dim: int) -> bool:
    """Whether there is a vector of float32 [dim] for each key."""
    vectors, keys = arrays[kind], arrays.get(f"{kind}_keys")
    return keys is not None and vectors.dtype == np.float32 and vectors.shape == (len(keys), dim)
