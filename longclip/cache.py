"""A bounded store of embeddings, so that nothing is embedded twice."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

import numpy as np


class EmbeddingCache:
    """Rows by key, the least recently used dropped first once they take more than `max_bytes`.

    One cache may be shared by models and by threads: a key names the content, the model and its revision.
    """

    def __init__(self, max_bytes: int = 64_000_000) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes is {max_bytes}; wanted 0 (keep nothing) or more")
        self.max_bytes = max_bytes
        self.bytes = 0
        self.hits = self.misses = 0
        self._rows: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: bytes) -> np.ndarray | None:
        """The row of a key, read-only, or None."""
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                self.misses += 1
                return None
            self.hits += 1
            self._rows.move_to_end(key)
            return row

    def put(self, key: bytes, row: np.ndarray) -> None:
        """Keeps a copy of the row, and drops the oldest others where room is short."""
        row = np.array(row)
        row.setflags(write=False)
        size = row.nbytes + len(key)
        if size > self.max_bytes:
            return
        with self._lock:
            self._drop(key)
            self._rows[key] = row
            self.bytes += size
            while self.bytes > self.max_bytes:
                self._drop(next(iter(self._rows)))

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._rows.clear()
            self.bytes = 0

    def _drop(self, key: bytes) -> None:
        row = self._rows.pop(key, None)
        if row is not None:
            self.bytes -= row.nbytes + len(key)


def content_key(kind: str, model: str, content: bytes) -> bytes:
    """The key of some content ("text" or "image") under a model, which is named with its revision."""
    digest = hashlib.blake2b(digest_size=20)
    for part in (kind.encode(), model.encode(), content):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
