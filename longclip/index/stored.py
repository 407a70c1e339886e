"""A gallery on disk, opened: its rows, its embeddings as files mapped into memory, and exact search in them."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.pairs import Slice
from ..embeddings import map_embeddings
from ..gallery import IMAGE, TEXT, Gallery, GalleryError, unused_name
from ..retrieval import top_k
from .plan import VECTORS, Part, read_part, read_plan, vectors_folder
from .rows import Row

if TYPE_CHECKING:
    from ..encoder import Encoder


@dataclass(frozen=True)
class Vectors:
    """Embeddings of a gallery by one model: blocks float32 [n_i, dim], the first row of each being ``starts[i]``.

    A row of NaN is of a picture that cannot be read, or a caption that there is not. `missing` rows are not embedded yet.
    `model` is what `longclip.load` takes, `embedder` the identity of what that loaded.
    """

    blocks: list[np.ndarray]
    starts: np.ndarray
    missing: int = 0
    model: str = ""
    embedder: str = ""
    broken: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def __getitem__(self, row: int) -> np.ndarray:
        """The vector [dim] of a row. Raises GalleryError for one that has none."""
        block = int(np.searchsorted(self.starts, row, side="right")) - 1
        if block < 0 or row - self.starts[block] >= len(self.blocks[block]):
            raise GalleryError(f"row {row} is not embedded yet: go on with indexing")
        return self.blocks[block][row - self.starts[block]]

    def search(self, queries: np.ndarray, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 and cosines float32 of the best `k` for unit queries [q, dim], both [q, k], the best first.

        Exact, and equal ones in the gallery's order; row -1 and minus infinity where there are fewer.
        """
        found, scores = top_k(queries, self.blocks, k)
        ends = np.cumsum([len(block) for block in self.blocks])
        block = np.searchsorted(ends, found, side="right")
        shifts = self.starts - (ends - [len(block) for block in self.blocks])
        return np.where(found < 0, -1, found + shifts[block]), scores

    def joined(self) -> np.ndarray:
        """All as one array [n, dim]; of a gallery of one part, the mapped file itself."""
        return self.blocks[0] if len(self.blocks) == 1 else np.concatenate(self.blocks)


class StoredGallery:
    """The gallery in a folder, as it was when opened; `starts` are the rows that its parts begin with, and the end of the last.

    Raises FileNotFoundError or GalleryError where there is none.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.plan = read_plan(self.folder)
        self.starts = [0, *accumulate(part.rows for part in self.plan.parts)]
        self._read = lru_cache(maxsize=16)(lambda part: read_part(self.folder, part))

    def __len__(self) -> int:
        return self.starts[-1]

    def row(self, number: int) -> Row:
        """A row by its number, read when asked for."""
        if not 0 <= number < len(self):
            raise GalleryError(f"no row {number}: the gallery {self.folder} has {len(self):,}")
        part = bisect_right(self.starts, number) - 1
        return self._read(self.plan.parts[part])[number - self.starts[part]]

    def rows(self) -> Iterator[Row]:
        """All rows in their order."""
        for part in self.plan.parts:
            yield from read_part(self.folder, part)

    def find(self, id: str) -> int:
        """The number of the row with an id; all are read until it is found. Raises GalleryError for an unknown one."""
        number = next((number for number, row in enumerate(self.rows()) if row.id == id), None)
        if number is None:
            raise GalleryError(f"no picture {id!r} among the {len(self):,} of {self.folder}")
        return number

    @cached_property
    def models(self) -> dict[str, str]:
        """The models that the gallery is embedded by: what `longclip.load` takes, by the name of the embeddings' folder."""
        found = {}
        for folder in sorted((self.folder / VECTORS).glob("*@*")):
            file = next((file for part in self.plan.parts if (file := folder / f"{part.name}.safetensors").is_file()), None)
            # One that is damaged speaks for no model; indexing makes it anew.
            with suppress(ValueError, KeyError):
                if file:
                    found[folder.name] = map_embeddings(file)[1]["model"]
        return found

    def vectors(self, encoder: Encoder | str, kind: str = IMAGE) -> Vectors:
        """The embeddings of the pictures or the captions by an encoder, or by a name of `models`.

        Raises GalleryError where there are none.
        """
        folder = self._vectors_folder(encoder)
        blocks, starts, missing, origin, broken = [], [], 0, {}, []
        for part, start in zip(self.plan.parts, self.starts[:-1], strict=True):
            file = folder / f"{part.name}.safetensors"
            if not file.is_file():
                missing += part.rows
                continue
            arrays, origin = map_embeddings(file)
            broken += json.loads(origin["broken"]).values()
            if kind in arrays:
                dim = blocks[0].shape[1] if isinstance(encoder, str) and blocks else getattr(encoder, "dim", None)
                check_block(arrays[kind], part, dim, file)
                blocks.append(arrays[kind])
                starts.append(start)
        if not blocks:
            what = "pictures" if kind == IMAGE else "captions"
            if missing == len(self):
                others = ", ".join(dict.fromkeys(self.models.values())) or "none"
                name = encoder if isinstance(encoder, str) else encoder.spec.name
                raise GalleryError(
                    f"{self.folder} is not embedded by {name} as it is now (weights, settings and tokenizer count); it is by: "
                    f"{others}. Bring it up to date with python -m longclip index"
                )
            raise GalleryError(f"{self.folder} has no {what} that are embedded")
        return Vectors(blocks, np.array(starts), missing, origin["model"], origin.get("embedder", ""), tuple(broken))

    def kinds(self, encoder: Encoder | str) -> tuple[str, ...]:
        """`IMAGE`, and `TEXT` where there are captions that this encoder has embedded."""
        folder = self._vectors_folder(encoder)
        files = (folder / f"{part.name}.safetensors" for part in self.plan.parts)
        texts = any(TEXT in map_embeddings(file)[0] for file in files if file.is_file())
        return (IMAGE, TEXT) if texts else (IMAGE,)

    def gallery(self, encoders: Iterable[Encoder] = (), limit: int = 50_000) -> Gallery:
        """The gallery in memory, as tabs and evaluation take it, with its embeddings by these encoders.

        Pictures that the encoders could not read are left out and named in `skipped`, and so is what goes beyond `limit`. A
        picture inside a shard is read into memory.
        """
        encoders = list(encoders)
        images = [self.vectors(encoder) for encoder in encoders]
        rows = {number: row for number, row in zip(range(min(limit, len(self))), self.rows(), strict=False)}
        for vectors in images:
            rows = {number: row for number, row in rows.items() if not np.isnan(vectors[number][0])}
        names: dict[str, None] = {}
        for row in rows.values():
            names[unused_name(row.id, names)] = None
        skipped = [sentence for vectors in images[:1] for sentence in vectors.broken] + self.plan.skipped
        if len(self) > limit:
            skipped.append(f"{len(self) - limit:,} more pictures were left out: at most {limit:,} are taken")
        gallery = Gallery(
            ids=list(names),
            pictures=[row.picture.read() if isinstance(row.picture, Slice) else row.picture for row in rows.values()],
            captions=[row.caption for row in rows.values()],
            short_captions=[row.short_caption for row in rows.values()],
            metadata=[row.metadata for row in rows.values()],
            skipped=tuple(skipped),
        )
        # Captions only where each picture has one: a gallery embeds those that are empty too.
        kinds = (IMAGE, TEXT) if all(gallery.captions) else (IMAGE,)
        for encoder in encoders if rows else ():
            for kind in kinds:
                vectors = self.vectors(encoder, kind)
                gallery.adopt(kind, encoder, np.stack([vectors[number] for number in rows]))
        return gallery

    def _vectors_folder(self, encoder: Encoder | str) -> Path:
        return self.folder / VECTORS / encoder if isinstance(encoder, str) else vectors_folder(self.folder, encoder)


def check_block(block: np.ndarray, part: Part, dim: int | None, file: Path) -> None:
    """Raises GalleryError where a file's vectors are not float32 [rows of the part, dim]."""
    if block.dtype != np.float32 or block.ndim != 2 or len(block) != part.rows or dim not in (None, block.shape[1]):
        found = f"{block.dtype} {list(block.shape)}"
        raise GalleryError(f"{file} holds vectors of {found}, wanted float32 [{part.rows}, {dim or 'dim'}]: index again")
