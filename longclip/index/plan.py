"""What a stored gallery consists of: its parts, found by reading its source, and kept in ``gallery.json``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from ..checkpoints.files import part_of
from ..contents import stamp_of
from ..data.readers import find_format
from ..gallery import GalleryError
from .rows import Row, Source

if TYPE_CHECKING:
    from ..encoder import Encoder

GALLERY = "gallery.json"
ROWS, VECTORS, LOCKS = "rows", "vectors", "locks"
VERSION = 1
# Pictures in a part on average, and how many times that at most. A run that is killed loses the part it is at.
MEAN, MOST = 1024, 2
# Sentences about files that were left out, of which the first are kept.
KEPT = 100


@dataclass(frozen=True)
class Part:
    """Neighbouring pictures: `name` is the hash of their rows, `rows` how many they are."""

    name: str
    rows: int


@dataclass
class Plan:
    """A gallery's source and parts. `shards` holds for each webdataset shard its stamp and the names of its parts."""

    source: str
    pictures: str | None = None
    split: str | None = None
    parts: list[Part] = field(default_factory=list)
    shards: dict[str, tuple[list[int], list[str]]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    left_out: int = 0

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts)


def read_plan(folder: Path) -> Plan:
    """The plan of the gallery in a folder. Raises FileNotFoundError where there is none, GalleryError for a damaged one."""
    path = folder / GALLERY
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no stored gallery: make one with python -m longclip index SOURCE --out {folder}")
    try:
        content = json.loads(path.read_bytes())
        version = content.pop("version")
        if version != VERSION:
            raise GalleryError(f"{path} is of version {version}, and version {VERSION} is read here")
        parts = [Part(*entry) for entry in content.pop("parts")]
        return Plan(parts=parts, **content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, GalleryError):
            raise
        raise GalleryError(f"{path} is damaged ({error}): remove it and index again, the embeddings are used again") from None


def make_plan(
    source: str, folder: Path, pictures: str | Path | None = None, mean: int = MEAN, split: str | None = None
) -> Plan:
    """Reads the source and writes the plan of its gallery and the rows of its parts, as far as they are not there.

    Processes take turns, and one that waited for another takes over what that found. A shard whose file is as it was is not
    read again. Raises GalleryError for a folder that is the gallery of another source, or a source of no picture.
    """
    format, path = find_format(source)
    wanted = Plan(f"{format}:{os.path.abspath(path)}", pictures and os.path.abspath(pictures), split)
    folder.mkdir(parents=True, exist_ok=True)
    before = _stamp(folder)
    with FileLock(folder / f"{GALLERY}.lock"):
        now = _stamp(folder)
        old = read_plan(folder) if now else None
        if old and (old.source, old.pictures, old.split) != (wanted.source, wanted.pictures, wanted.split):
            part = f", split {old.split}" if old.split else ""
            raise GalleryError(f"{folder} is the gallery of {old.source}{part}: wanted the same source, or another folder")
        if old and now != before:
            return old
        found = Source(wanted.source, wanted.pictures, split)
        for part, shard, stamp in _read_parts(found, folder, old, mean):
            wanted.parts.append(part)
            if shard:
                wanted.shards.setdefault(shard, (stamp, []))[1].append(part.name)
        wanted.skipped, wanted.left_out = found.skipped[:KEPT], found.missing
        if not wanted.parts:
            why = f": {found.skipped[0]}" if found.skipped else ""
            raise GalleryError(f"{source} holds no picture{why}")
        # Written even if it is the same: who waits for the lock sees by its time that the source has just been read.
        with part_of(folder / GALLERY) as file:
            content = asdict(wanted) | {"version": VERSION, "parts": [[part.name, part.rows] for part in wanted.parts]}
            file.write_text(json.dumps(content))
    return wanted


def rows_file(folder: Path, part: Part) -> Path:
    """Where the rows of a part are."""
    return folder / ROWS / f"{part.name}.jsonl"


def read_part(folder: Path, part: Part) -> list[Row]:
    """The rows of a part. Raises GalleryError where they are gone: another process found that the source had changed."""
    try:
        with rows_file(folder, part).open("rb") as lines:
            return [Row.from_json(line) for line in lines]
    except FileNotFoundError:
        raise GalleryError(f"the gallery {folder} was changed by another process: open it again") from None


def vectors_folder(folder: Path, encoder: Encoder) -> Path:
    """Where a gallery's embeddings by an encoder are: found by its identity; its name is there for people."""
    ending = f"@{encoder.identity[:16]}"
    found = sorted((folder / VECTORS).glob(f"*{ending}"))
    name = encoder.spec.name.replace("/", "--").replace(":", "--")
    return found[0] if found else folder / VECTORS / f"{name}{ending}"


def cut(rows: Iterable[Row], mean: int = MEAN) -> Iterator[list[Row]]:
    """Rows in parts of `mean` on average, which end where the hash of an id says so."""
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if _digest(row.id.encode("utf-8", "surrogatepass"))[0] % mean == 0 or len(part) == MOST * mean:
            yield part
            part = []
    if part:
        yield part


def _read_parts(source: Source, folder: Path, old: Plan | None, mean: int) -> Iterator[tuple[Part, str, list[int]]]:
    """Every part, with the shard it belongs to ("" for none) and that shard's size and time."""
    shards = source.shards()
    if not shards:
        yield from ((_write_part(folder, rows), "", []) for rows in cut(source.rows(), mean))
    known = {part.name: part for part in old.parts} if old else {}
    for shard in shards:
        stamp = list(stamp_of(shard))
        before, names = old.shards.get(str(shard), ([], [])) if old else ([], [])
        if before == stamp:
            parts = [known[name] for name in names]
        else:
            parts = [_write_part(folder, rows) for rows in cut(source.rows(shard), mean)]
        yield from ((part, str(shard), stamp) for part in parts)


def _write_part(folder: Path, rows: list[Row]) -> Part:
    content = "".join(f"{row.to_json()}\n" for row in rows).encode()
    part = Part(_digest(content)[1], len(rows))
    path = rows_file(folder, part)
    if not path.is_file():
        with part_of(path) as file:
            file.write_bytes(content)
    return part


def _digest(content: bytes) -> tuple[int, str]:
    """A hash of some content, as a number and as a name."""
    digest = hashlib.blake2b(content, digest_size=16)
    return int.from_bytes(digest.digest()[:8], "big"), digest.hexdigest()


def _stamp(folder: Path) -> tuple[int, int] | None:
    try:
        found = (folder / GALLERY).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
