"""Makes a stored gallery, or brings it up to date: only pictures and captions whose content is new are encoded."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout

from ..data.pairs import DataError
from ..embeddings import write_embeddings
from ..gallery import IMAGE, TEXT, GalleryError
from ..images import ImageError
from .leftovers import KEY_BYTES, Leftovers
from .plan import GALLERY, KEPT, LOCKS, MEAN, ROWS, VECTORS, Part, Plan, make_plan, read_part, read_plan
from .rows import Row

if TYPE_CHECKING:
    from ..encoder import Encoder

Progress = Callable[[int, int], None]
"""Called with the number of pictures whose part is done, and the number there are."""

# Pictures whose files are held at once, and the seconds between two looks at what other processes are at.
CHUNK, LOOK = 256, 0.2


@dataclass
class Making:
    """What indexing did: pictures and captions that this process encoded, and what it took over or left out, and why."""

    pictures: int = 0
    encoded: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    skipped: list[str] = field(default_factory=list)

    def leave_out(self, sentence: str) -> None:
        """Counts a picture that cannot be read; the first sentences are kept."""
        self.broken += 1
        if len(self.skipped) < KEPT:
            self.skipped.append(sentence)


def make_gallery(
    source: str,
    folder: str | Path,
    encoders: Sequence[Encoder],
    pictures: str | Path | None = None,
    progress: Progress | None = None,
    mean: int = MEAN,
) -> Making:
    """Makes the gallery of a source (as `longclip.data.readers.read_data` takes it, captions not needed) in a folder.

    It is whole when this returns, whichever process made which part: several may run at once, on several machines if they
    share the folder; those that `torchrun` starts begin at different places. mean: pictures in a part on average; only a new
    gallery may choose. Raises GalleryError, DataError or FileNotFoundError for a source of no use.
    """
    folder = Path(folder)
    if any(not encoder.fingerprint for encoder in encoders):
        raise GalleryError("a stored gallery is made by models whose weights are fixed")
    plan = make_plan(source, folder, pictures, mean)
    making = Making(len(plan), broken=plan.left_out, skipped=list(plan.skipped))
    for number, encoder in enumerate(encoders):
        done = number * len(plan)

        def note(count: int, done: int = done) -> None:
            if progress:
                progress(done + count, len(encoders) * len(plan))

        _Work(folder, plan, encoder, making, note).run()
    return making


def vectors_folder(folder: Path, encoder: Encoder) -> Path:
    """Where a gallery's embeddings by an encoder are: by its name and its weights, since either may change alone."""
    return folder / VECTORS / f"{encoder.spec.name.replace('/', '--').replace(':', '--')}@{encoder.fingerprint[:16]}"


@dataclass(eq=False)
class _Work:
    """One process's share of the parts, with one encoder."""

    folder: Path
    plan: Plan
    encoder: Encoder
    making: Making
    note: Callable[[int], None]

    def run(self) -> None:
        """Makes every part that is not there and that nobody else makes, until all are there."""
        self.vectors = vectors_folder(self.folder, self.encoder)
        for place in (self.vectors, self.folder / LOCKS):
            place.mkdir(parents=True, exist_ok=True)
        self.leftovers = Leftovers(self.vectors, {part.name for part in self.plan.parts})
        self.done = 0
        waiting = _rotate(self.plan.parts)
        while waiting:
            waiting = [part for part in waiting if not self._has_made(part)]
            if waiting:
                time.sleep(LOOK)
        _sweep(self.folder, self.vectors)

    def _has_made(self, part: Part) -> bool:
        """Whether the part is there, perhaps made just now; not if another process is at it."""
        path = self.vectors / f"{part.name}.safetensors"
        if not path.is_file():
            lock = FileLock(self.folder / LOCKS / f"{self.vectors.name}-{part.name}.lock", timeout=0)
            with suppress(Timeout), lock:
                # Another may have finished it between the look and the lock.
                if not path.is_file():
                    self._make(part, path)
            if not path.is_file():
                return False
        self.done += part.rows
        self.note(self.done)
        return True

    def _make(self, part: Part, path: Path) -> None:
        rows = read_part(self.folder, part)
        broken: dict[int, str] = {}
        images, image_keys = self._embed_pictures(rows, broken)
        for sentence in broken.values():
            self.making.leave_out(sentence)
        arrays = {IMAGE: images, f"{IMAGE}_keys": image_keys}
        captions = {number: row.caption for number, row in enumerate(rows) if row.caption}
        if captions:
            keys = {number: _key(text.encode("utf-8", "surrogatepass")) for number, text in captions.items()}
            texts = self._fill(TEXT, len(rows), keys, lambda numbers: self._encode_texts([captions[i] for i in numbers]))
            arrays |= {TEXT: texts[0], f"{TEXT}_keys": texts[1]}
        spec = self.encoder.spec
        model = str(spec.path) if spec.path else spec.name
        origin = {"model": model, "name": spec.name, "weights": self.encoder.fingerprint, "broken": json.dumps(broken)}
        write_embeddings(path, arrays, origin)

    def _embed_pictures(self, rows: list[Row], broken: dict[int, str]) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings and content keys of the rows' pictures; NaN for those that are `broken`, which is filled."""
        parts = []
        for first in range(0, len(rows), CHUNK):
            contents: dict[int, bytes] = {}
            for number, row in enumerate(rows[first : first + CHUNK]):
                try:
                    contents[number] = row.read()
                except (ImageError, DataError, OSError) as error:
                    broken[first + number] = f"{row.id}: {error}"

            def encode(numbers: list[int], first: int = first, contents: dict[int, bytes] = contents) -> np.ndarray:
                def refuse(number: int, error: ImageError) -> None:
                    row = first + numbers[number]
                    broken[row] = str(error).replace("the picture", rows[row].id, 1)

                return self.encoder.encode_image([contents[number] for number in numbers], refuse=refuse)

            keys = {number: _key(content) for number, content in contents.items()}
            parts.append(self._fill(IMAGE, min(CHUNK, len(rows) - first), keys, encode))
            # Copies of a broken picture are not tried again, but they are broken too.
            for number in np.flatnonzero(np.isnan(parts[-1][0][:, 0])).tolist():
                broken.setdefault(first + number, f"{rows[first + number].id} is a copy of a picture that is refused")
            self.note(self.done + first)
        vectors, keys = zip(*parts, strict=True)
        return np.concatenate(vectors), np.concatenate(keys)

    def _encode_texts(self, texts: list[str]) -> np.ndarray:
        return self.encoder.encode_text(texts, progress=lambda *_: self.note(self.done))

    def _fill(
        self, kind: str, count: int, keys: dict[int, bytes], encode: Callable[[list[int]], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors [count, dim] and keys [count, 16] of the rows that have a key: left over ones, the others by `encode`.

        What has the same key is encoded once. Rows without a key are NaN.
        """
        vectors = np.full((count, self.encoder.dim), np.nan, dtype=np.float32)
        new: dict[bytes, list[int]] = {}
        for number, found in zip(keys, self.leftovers.find(kind, list(keys.values())), strict=True):
            if found is None:
                new.setdefault(keys[number], []).append(number)
            else:
                vectors[number] = found
                self.making.reused[kind] += 1
        if new:
            firsts = [numbers[0] for numbers in new.values()]
            for numbers, vector in zip(new.values(), encode(firsts), strict=True):
                vectors[numbers] = vector
            self.making.encoded[kind] += len(new)
            self.making.reused[kind] += sum(map(len, new.values())) - len(new)
        table = np.zeros((count, KEY_BYTES), dtype=np.uint8)
        for number, key in keys.items():
            table[number] = np.frombuffer(key, dtype=np.uint8)
        return vectors, table


def _key(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()


def _rotate(parts: list[Part]) -> list[Part]:
    """All parts, each process of a `torchrun` beginning elsewhere, so that they seldom meet."""
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    first = len(parts) * rank // max(1, processes)
    return parts[first:] + parts[:first]


def _sweep(folder: Path, vectors: Path) -> None:
    """Removes what belongs to no part: left over vectors of this model, rows, and files that a kill left half written."""
    with FileLock(folder / f"{GALLERY}.lock"):
        names = {part.name for part in read_plan(folder).parts}
        for file in (*vectors.iterdir(), *(folder / ROWS).iterdir()):
            if file.name.partition(".")[0] not in names:
                file.unlink(missing_ok=True)
