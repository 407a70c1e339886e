"""A set of pictures with their captions and embeddings: what retrieval, maps and evaluation take."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from longclip.contents import hash_content, hash_file
from longclip.data.left_out import LeftOut
from longclip.data.readers.listed import Listed, group_listed, read_listed_folder
from longclip.embeddings import read_embeddings, read_origin, write_embeddings
from longclip.images import ImageError, open_image
from longclip.textfiles import DataError

if TYPE_CHECKING:
    from PIL import Image

    from longclip.encoder import Encoder

METADATA = "metadata.jsonl"
EMBEDDINGS = "embeddings"
# What is embedded, and the name of its tensor in a file.
IMAGE, TEXT = "image", "text"


class GalleryError(ValueError):
    """A folder or file that is no gallery; the message is one sentence for the user."""


@dataclass(eq=False)
class Gallery:
    """Pictures (paths or bytes of files, never decoded ones), and by row: id, captions, and any other fields.

    A caption that is not known is an empty text. `embeddings` (of the pictures) and `caption_embeddings` hold float32
    [n, dim] of unit rows by an encoder's `identity`, filled by `embed` and `embed_captions`. `skipped` says in a sentence
    each which files were left out, and why.
    """

    ids: list[str]
    pictures: list[Path | bytes]
    captions: list[str]
    short_captions: list[str]
    metadata: list[dict[str, Any]]
    folder: Path | None = None
    skipped: tuple[str, ...] = ()
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)
    caption_embeddings: dict[str, np.ndarray] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        columns = (self.pictures, self.captions, self.short_captions, self.metadata)
        if any(len(column) != len(self.ids) for column in columns):
            raise GalleryError(f"{len(self.ids)} ids, but {', '.join(str(len(column)) for column in columns)} of the others")
        if len(set(self.ids)) < len(self.ids):
            twice = next(name for name in self.ids if self.ids.count(name) > 1)
            raise GalleryError(f"the id {twice!r} occurs more than once")

    @classmethod
    def from_folder(cls, folder: str | Path) -> Gallery:
        """An image folder: with a ``metadata.jsonl`` or ``.csv`` the pictures it lists, without one all it holds.

        Each line is an object with `file_name` (within the folder), and where known `id`, captions (as
        `longclip.data.readers.fields` reads them), `short_caption`, `family` and others. Lines of one file are one picture;
        captions beyond its first are in its metadata as `captions`. Without the file, a picture's caption is the text file of
        the same name. Nothing is decoded. What cannot be used is left out and named in `skipped`. Raises GalleryError where
        that is all there is, or FileNotFoundError where there is no such folder.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}")
        left_out, faults = LeftOut(), []
        try:
            entries = list(group_listed(read_listed_folder(folder, left_out, faults.append), None, str(folder)))
        except DataError as error:
            raise GalleryError(str(error)) from None
        missing = [entry for entry in entries if not entry.pair.picture.is_file()]
        faults += [f"{METADATA} names {entry.id!r}, which is not there" for entry in missing]
        entries = [entry for entry in entries if entry.pair.picture.is_file()]
        if not entries:
            reason = f": {faults[0]}" if faults else f": wanted a {METADATA}, or files such as .jpg and .png"
            raise GalleryError(f"{folder} holds no picture{reason}")
        return cls(
            ids=[entry.id for entry in entries],
            pictures=[entry.pair.picture for entry in entries],
            captions=[next(iter(entry.pair.captions), "") for entry in entries],
            short_captions=[entry.pair.short for entry in entries],
            metadata=[_metadata(entry) for entry in entries],
            folder=folder,
            skipped=(*map(str, faults), *left_out),
        )

    @classmethod
    def from_pictures(cls, files: Iterable[str | Path | tuple[str, bytes]], limit: int = 1000) -> Gallery:
        """A gallery of uploads: paths, or names with bytes. Each is decoded once to see that it can be.

        What cannot is left out and named in `skipped`, and so is everything beyond `limit` pictures.
        """
        pictures: dict[str, Path | bytes] = {}
        skipped = []
        left = 0
        for file in files:
            name, picture = (file[0], file[1]) if isinstance(file, tuple) else (Path(file).name, Path(file))
            if len(pictures) == limit:
                left += 1
                continue
            try:
                open_image(picture)
            except ImageError as error:
                skipped.append(str(error).replace("the picture", name, 1))
            else:
                pictures[unused_name(name, pictures)] = picture
        if left:
            skipped.append(f"{left} more files were left out: at most {limit} pictures are taken")
        return cls(
            ids=list(pictures),
            pictures=list(pictures.values()),
            captions=[""] * len(pictures),
            short_captions=[""] * len(pictures),
            metadata=[{"file_name": name} for name in pictures],
            skipped=tuple(skipped),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def index(self, id: str) -> int:
        """The row of an id. Raises GalleryError for an unknown one."""
        try:
            return self.ids.index(id)
        except ValueError:
            raise GalleryError(f"no picture {id!r} among the {len(self)} of this gallery") from None

    def open(self, row: int) -> Image.Image:
        """The picture of a row, decoded as RGB."""
        return open_image(self.pictures[row])

    def select(self, rows: Iterable[int]) -> Gallery:
        """A gallery of these rows, in this order, with the embeddings they have."""
        rows = list(rows)
        return Gallery(
            ids=[self.ids[row] for row in rows],
            pictures=[self.pictures[row] for row in rows],
            captions=[self.captions[row] for row in rows],
            short_captions=[self.short_captions[row] for row in rows],
            metadata=[self.metadata[row] for row in rows],
            embeddings={identity: embedded[rows] for identity, embedded in self.embeddings.items()},
            caption_embeddings={identity: embedded[rows] for identity, embedded in self.caption_embeddings.items()},
        )

    def readable(self) -> Gallery:
        """The gallery without the pictures that cannot be decoded, each named in `skipped`; itself where there is none.

        Each is decoded, but where stored embeddings tell that all of them were. Raises GalleryError where none is left.
        """
        files = sorted((self.folder / EMBEDDINGS).glob("*.safetensors")) if self.folder else []
        if any(read_origin(file).get("rows") == self._rows_digest() for file in files):
            return self
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            faults = list(pool.map(_find_fault, self.pictures))
        rows = [row for row, fault in enumerate(faults) if fault is None]
        if len(rows) == len(self):
            return self
        named = [str(fault).replace("the picture", self.ids[row], 1) for row, fault in enumerate(faults) if fault]
        if not rows:
            raise GalleryError(f"none of the {len(self):,} pictures can be read: {named[0]}")
        return replace(self.select(rows), skipped=(*self.skipped, *named))

    def embed(self, encoder: Encoder, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """The pictures' embeddings by this encoder, float32 [n, dim], unit rows.

        Computed once for an encoder's `identity`. Those stored in the folder are used where they were made by exactly this
        encoder, of exactly these ids and contents of files. Raises ImageError for a picture that cannot be read.
        """
        return self._embed(IMAGE, encoder, lambda: encoder.encode_image(self.pictures, progress=progress))

    def embed_captions(
        self, encoder: Encoder, progress: Callable[[int, int], None] | None = None, batch_size: int = 128
    ) -> np.ndarray:
        """The captions' embeddings by this encoder, as `embed` does it; stored ones must be of exactly these captions."""
        return self._embed(TEXT, encoder, lambda: encoder.encode_text(self.captions, batch_size, progress))

    def adopt(self, kind: str, encoder: Encoder, embedded: np.ndarray) -> None:
        """Takes embeddings by this encoder, float32 [n, dim] of unit rows, of `IMAGE` or `TEXT`, made elsewhere.

        Those by an encoder that may still change are not kept.
        """
        if identity := encoder.identity:
            with self._lock:
                self._known(kind)[identity] = embedded

    def save_embeddings(self, encoder: Encoder) -> Path:
        """Stores the embeddings by this encoder (computed where need be) in the gallery's folder.

        Pictures in half precision; captions in 32 bits, for a caption that is embedded anew is to tie with itself.
        """
        if self.folder is None or not encoder.identity:
            raise GalleryError("embeddings are stored for a gallery with a folder, by a model whose weights are fixed")
        path = self._embeddings_file(encoder)
        tensors = {IMAGE: self.embed(encoder).astype(np.float16), TEXT: self.embed_captions(encoder)}
        origin = self._origin(IMAGE, encoder) | self._origin(TEXT, encoder)
        write_embeddings(path, tensors, origin | {"model": encoder.spec.name})
        return path

    def _embed(self, kind: str, encoder: Encoder, compute: Callable[[], np.ndarray]) -> np.ndarray:
        with self._lock:
            embedded = self._known(kind).get(encoder.identity)
        if embedded is None:
            embedded = self._read_embeddings(encoder, kind)
            if embedded is None:
                embedded = compute()
            self.adopt(kind, encoder, embedded)
        return embedded

    def _known(self, kind: str) -> dict[str, np.ndarray]:
        return self.embeddings if kind == IMAGE else self.caption_embeddings

    def _read_embeddings(self, encoder: Encoder, kind: str) -> np.ndarray | None:
        path = self._embeddings_file(encoder) if self.folder and encoder.identity else None
        if path is None or not path.is_file():
            return None
        return read_embeddings(path, kind, (len(self), encoder.dim), self._origin(kind, encoder))

    def _origin(self, kind: str, encoder: Encoder) -> dict[str, str]:
        """What embeddings of a kind are made of, and by whom."""
        made_of = {"rows": self._rows_digest()} if kind == IMAGE else {"captions": _digest(self.captions)}
        return {"embedder": encoder.identity, **made_of}

    def _embeddings_file(self, encoder: Encoder) -> Path:
        assert self.folder is not None
        return self.folder / EMBEDDINGS / f"{encoder.spec.name.replace('/', '--')}.safetensors"

    def _rows_digest(self) -> str:
        return _digest([(id, _content(picture)) for id, picture in zip(self.ids, self.pictures, strict=True)])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _find_fault(picture: Path | bytes) -> ImageError | None:
    try:
        open_image(picture)
    except ImageError as error:
        return error
    return None


def _content(picture: Path | bytes) -> str:
    """A hash of a picture's file; empty where it is gone, which is told when it is to be read."""
    try:
        return hash_content(picture) if isinstance(picture, bytes) else hash_file(picture)
    except OSError:
        return ""


def _metadata(entry: Listed) -> dict[str, Any]:
    more = list(entry.pair.captions[1:])
    return entry.row | ({"captions": more} if more else {})


def unused_name(name: str, taken: Container[str]) -> str:
    """The name, with a number where it is taken: uploads from two folders may be called the same."""
    stem, dot, ending = name.rpartition(".")
    number = 2
    unused = name
    while unused in taken:
        unused = f"{stem}-{number}{dot}{ending}" if dot else f"{name}-{number}"
        number += 1
    return unused
