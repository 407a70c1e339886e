"""Hashes of what files hold, each read once as long as it is not changed."""

from __future__ import annotations

import hashlib
import os
import time
from functools import lru_cache
from pathlib import Path

# Nanoseconds for which a change may go unseen in a file's times: a file as young as that is read each time.
_YOUNG = 2_000_000_000


def hash_content(content: bytes) -> str:
    """40 hexadecimal digits that name these bytes."""
    return hashlib.blake2b(content, digest_size=20).hexdigest()


def stamp_of(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """A file's size and its times of change, of the content and of the entry: other ones wherever the content is another.

    The second cannot be set back, as tools do with the first when they copy. Raises OSError.
    """
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def hash_file(path: str | os.PathLike[str]) -> str:
    """`hash_content` of a file; it is read again only where its `stamp_of` is another. Raises OSError."""
    stamp = stamp_of(path)
    if time.time_ns() - max(stamp[1:]) < _YOUNG:
        return hash_content(Path(path).read_bytes())
    return _hash_known(os.path.abspath(path), stamp)


@lru_cache(maxsize=1 << 16)
def _hash_known(path: str, stamp: tuple[int, int, int]) -> str:
    return hash_content(Path(path).read_bytes())
