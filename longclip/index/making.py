"""Makes a stored gallery, or brings it up to date: only pictures and captions whose content is new are encoded."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from ..embeddings import map_embeddings, write_embeddings
from ..gallery import IMAGE, TEXT, GalleryError
from .embedding import PartEmbedder
from .leftovers import Leftovers
from .plan import GALLERY, KEPT, LOCKS, MEAN, ROWS, VECTORS, Part, Plan, make_plan, read_part, read_plan, vectors_folder
from .stored import StoredGallery, check_block

if TYPE_CHECKING:
    from ..encoder import Encoder

Progress = Callable[[int, int], None]
"""Called with the number of pictures whose part is done, and the number there are."""

# Seconds between two looks at what other processes are at.
LOOK = 0.2


@dataclass
class Making:
    """What indexing did: pictures and captions that this process encoded, and those it had the embeddings of.

    `pictures` counts all of the gallery, `broken` those that cannot be read or are not there; the first `skipped` say why.
    """

    pictures: int = 0
    encoded: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    skipped: list[str] = field(default_factory=list)


def make_gallery(
    source: str,
    folder: str | Path,
    encoders: Sequence[Encoder],
    pictures: str | Path | None = None,
    progress: Progress | None = None,
    mean: int = MEAN,
    split: str | None = None,
) -> Making:
    """Makes the gallery of a source (as `longclip.data.readers.read_data` takes it, captions not needed) in a folder.

    It is whole when this returns, whichever process made which part: several may run at once, on several machines if they
    share the folder; those that `torchrun` starts begin at different places. mean: pictures in a part on average; only a new
    gallery may choose. split: a part of the source, by its own names. Raises GalleryError, DataError or FileNotFoundError for
    a source of no use.
    """
    folder = Path(folder)
    if any(not encoder.identity for encoder in encoders):
        raise GalleryError("a stored gallery is made by models whose weights are fixed")
    if len({encoder.identity for encoder in encoders}) < len(encoders):
        names = ", ".join(encoder.spec.name for encoder in encoders)
        raise GalleryError(f"two of the models {names} are the same: wanted each once")
    plan = make_plan(source, folder, pictures, mean, split)
    making = Making(len(plan))
    for number, encoder in enumerate(encoders):
        done = number * len(plan)

        def note(count: int, done: int = done) -> None:
            if progress:
                progress(done + count, len(encoders) * len(plan))

        _Work(folder, plan, encoder, making, note).run()
    found = StoredGallery(folder)
    broken = list(dict.fromkeys(sentence for encoder in encoders for sentence in found.vectors(encoder).broken))
    if len(broken) == len(found):
        raise GalleryError(f"none of the {len(found):,} pictures of {source} can be read: {broken[0]}")
    making.broken, making.skipped = plan.left_out + len(broken), [*plan.skipped, *broken][:KEPT]
    return making


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
        leftovers = Leftovers(self.vectors, {part.name for part in self.plan.parts}, self.encoder.dim)
        self.embedder = PartEmbedder(self.encoder, leftovers, self.making.encoded, self.making.reused)
        self.done = 0
        waiting = _rotate(self.plan.parts)
        while waiting:
            waiting = [part for part in waiting if not self._has_made(part)]
            if waiting:
                time.sleep(LOOK)
        _sweep(self.folder, self.vectors)
        _remove_former(self.folder, self.vectors, _reference(self.encoder))

    def _has_made(self, part: Part) -> bool:
        """Whether the part is there, perhaps made just now; not if another process is at it."""
        path = self.vectors / f"{part.name}.safetensors"
        self._remove_damaged(part, path)
        if not path.is_file():
            claim = self.folder / LOCKS / f"{self.vectors.name}-{part.name}.lock"
            with suppress(Timeout), FileLock(claim, timeout=0):
                # Another may have finished it between the look and the lock; who holds a removed file's lock sees that too.
                if not path.is_file():
                    self._make(part, path)
                claim.unlink(missing_ok=True)
            if not path.is_file():
                return False
        self.done += part.rows
        self.note(self.done)
        return True

    def _remove_damaged(self, part: Part, path: Path) -> None:
        """Removes a file that is there and holds no vectors of this part by this encoder: it is made anew."""
        try:
            arrays = map_embeddings(path)[0]
            for kind in (IMAGE, TEXT):
                if kind == IMAGE or kind in arrays:
                    check_block(arrays[kind], part, self.encoder.dim, path)
        except FileNotFoundError:
            pass
        except (ValueError, KeyError):
            path.unlink(missing_ok=True)

    def _make(self, part: Part, path: Path) -> None:
        rows = read_part(self.folder, part)
        arrays, broken = self.embedder.embed(rows, lambda count: self.note(self.done + count))
        origin = {"model": _reference(self.encoder), "name": self.encoder.spec.name, "broken": json.dumps(broken)}
        write_embeddings(path, arrays, origin | {"embedder": self.encoder.identity})


def _reference(encoder: Encoder) -> str:
    """What `longclip.load` takes, wherever it is called from."""
    spec = encoder.spec
    if not spec.path:
        return spec.name
    config = os.path.abspath(spec.config) if spec.config and os.path.exists(spec.config) else spec.config
    return os.path.abspath(spec.path) + (f"#{config}" if config else "")


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
            # All parts are there by now: nobody writes one any more.
            if file.name.partition(".")[0] not in names or file.suffix == ".part":
                file.unlink(missing_ok=True)


def _remove_former(folder: Path, vectors: Path, model: str) -> None:
    """Removes the vectors of what had the model's place before it was trained again or mended: nothing there loads it now."""
    for other in (folder / VECTORS).iterdir():
        with suppress(ValueError, OSError):
            file = next(other.glob("*.safetensors"), None)
            if other != vectors and file and map_embeddings(file)[1].get("model") == model:
                shutil.rmtree(other, ignore_errors=True)
