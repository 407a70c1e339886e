"""Pictures, folders and shards so small that a gallery of them is made in no time, shared by the tests of galleries."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from longclip.embeddings import map_embeddings

#: Pictures in a part on average.
MEAN = 8


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(folder: Path, count: int, captions: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        (folder / f"{seed:04d}.png").write_bytes(png(seed))
        if captions:
            (folder / f"{seed:04d}.txt").write_text(f"Picture {seed} of a fox.")
    return folder


def files(folder: Path) -> dict[str, object]:
    """What is in a gallery's files of rows and vectors, by their names; the header of the latter has no fixed order."""
    found: dict[str, object] = {path.name: path.read_bytes() for path in (folder / "rows").iterdir()}
    for path in (folder / "vectors").rglob("*.*"):
        if path.is_file():
            arrays, origin = map_embeddings(path)
            found[str(path.relative_to(folder))] = origin, {name: array.tobytes() for name, array in arrays.items()}
    return found


def write_shard(path: Path, seeds: range) -> Path:
    with tarfile.open(path, "w") as tar:
        for seed in seeds:
            for ending, content in ((".png", png(seed)), (".txt", f"Picture {seed}.".encode())):
                member = tarfile.TarInfo(f"{seed:04d}{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path
