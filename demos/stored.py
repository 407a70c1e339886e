"""Galleries in folders of this machine, made by `python -m longclip index`, as the tabs take them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from longclip.gallery import IMAGE, TEXT, Gallery, GalleryError

if TYPE_CHECKING:
    from longclip.encoder import Encoder
    from longclip.index import StoredGallery

PREFIX = "folder:"
# Galleries kept open, and pictures taken of one: exact search and maps hold them in memory.
KEEP, MOST = 4, 25_000


@dataclass(frozen=True)
class Opened:
    """A gallery and the rows of the one on disk that it shows: those that some model could read."""

    stored: StoredGallery
    gallery: Gallery
    rows: np.ndarray


class StoredGalleries:
    """Opened galleries by key. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._lock = Lock()

    def open(self, folder: str) -> str:
        """Opens the gallery in a folder as it is now. Returns its key; raises GalleryError or FileNotFoundError."""
        from longclip.index import StoredGallery

        path = Path(folder).expanduser().resolve()
        stored = StoredGallery(path)
        key = f"{PREFIX}{path}@{(path / 'gallery.json').stat().st_mtime_ns:x}"
        with self._lock:
            if key not in self._opened:
                self._opened[key] = _open(stored)
            self._opened.move_to_end(key)
            while len(self._opened) > KEEP:
                self._opened.popitem(last=False)
        return key

    def gallery(self, key: str) -> Gallery:
        """The gallery of a key. Raises GalleryError for one that is no longer open."""
        return self._find(key).gallery

    def adopt(self, key: str, encoder: Encoder) -> None:
        """Takes the embeddings by an encoder from the disk, as far as they are there."""
        opened = self._find(key)
        for kind in (IMAGE, TEXT):
            found = _read(opened, encoder, kind)
            if found is not None:
                opened.gallery.adopt(kind, encoder, found)

    def _find(self, key: str) -> Opened:
        with self._lock:
            if key not in self._opened:
                raise GalleryError("That gallery is no longer open: name its folder again.")
            return self._opened[key]


def _open(stored: StoredGallery) -> Opened:
    count = min(len(stored), MOST)
    whole = stored.gallery(limit=MOST)
    readable = np.ones(count, dtype=bool)
    sentences: list[str] = []
    for name in stored.models:
        vectors = stored.vectors(name)
        sentences += [sentence for sentence in vectors.broken if sentence not in sentences]
        for block, start in zip(vectors.blocks, vectors.starts, strict=True):
            broken = start + np.flatnonzero(np.isnan(block[:, 0]))
            readable[broken[broken < count]] = False
    rows = np.flatnonzero(readable)
    if not len(rows):
        raise GalleryError(f"none of the {len(stored):,} pictures of {stored.folder} can be read")
    return Opened(stored, replace(whole.select(rows), skipped=(*sentences, *whole.skipped)), rows)


def _read(opened: Opened, encoder: Encoder, kind: str) -> np.ndarray | None:
    """The stored embeddings of the rows that are shown; None where they are not all there."""
    try:
        vectors = opened.stored.vectors(encoder, kind)
    except GalleryError:
        return None
    if vectors.missing or len(vectors) < len(opened.stored):
        return None
    found = vectors.joined()[opened.rows]
    return None if np.isnan(found).any() else np.asarray(found, dtype=np.float32)
