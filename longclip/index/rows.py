"""The pictures of a stored gallery, and where they are found: a folder, or any format of `longclip.data.readers`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contents import stamp_of
from ..data.pairs import DataError, Pair, Slice
from ..data.readers import find_format, read_data
from ..data.readers.fields import PICTURE, text_fields
from ..data.readers.folder import METADATA
from ..data.readers.paths import join_within
from ..data.readers.records import read_rows
from ..data.readers.webdataset import find_shards, read_webdataset
from ..gallery import GalleryError, find_pictures, unused_name
from ..images import read_bytes


@dataclass(frozen=True)
class Row:
    """A picture of a gallery: `stamp` is `longclip.contents.stamp_of` its file; texts that are not known are empty."""

    id: str
    picture: Path | Slice
    stamp: tuple[int, ...]
    caption: str = ""
    short_caption: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        place = self.picture
        picture = [str(place.path), place.start, place.size] if isinstance(place, Slice) else str(place)
        # Escaped, so that a caption cut inside an emoji can be written too.
        return json.dumps([self.id, picture, self.stamp, self.caption, self.short_caption, self.metadata])

    @classmethod
    def from_json(cls, line: str | bytes) -> Row:
        """The row of a line that `to_json` wrote."""
        id, picture, stamp, *others = json.loads(line)
        place = Path(picture) if isinstance(picture, str) else Slice(Path(picture[0]), *picture[1:])
        return cls(id, place, tuple(stamp), *others)

    def read(self) -> bytes:
        """The picture's file. Raises ImageError, DataError or OSError where it cannot be read."""
        return read_bytes(self.picture.read() if isinstance(self.picture, Slice) else self.picture)


@dataclass
class Source:
    """What a gallery is made from. `skipped` fills while rows are read: a sentence for each thing that was left out."""

    name: str
    pictures: str | None = None
    skipped: list[str] = field(default_factory=list)

    def shards(self) -> list[Path]:
        """The webdataset shards it names; none for any other format."""
        format, path = find_format(self.name)
        return find_shards(path) if format == "webdataset" else []

    def rows(self, shard: Path | None = None) -> Iterator[Row]:
        """The rows of one of the shards, or of a source without shards. Files that are not there are skipped.

        Raises DataError, GalleryError or FileNotFoundError for a source that cannot be read at all; a shard that is damaged
        is skipped.
        """
        taken: dict[str, None] = {}
        for id, pair, metadata in self._read_shard(shard) if shard else self._read():
            stamp = _stamp(pair.picture)
            if stamp is None:
                self.skipped.append(f"{id} is not there")
                continue
            id = unused_name(id, taken)
            taken[id] = None
            more = {"label": pair.label, "family": pair.family, "captions": list(pair.captions[1:])}
            metadata = {name: value for name, value in (metadata | more).items() if value not in ("", [])}
            yield Row(id, pair.picture, stamp, next(iter(pair.captions), ""), pair.short, metadata)

    def _read(self) -> Iterator[tuple[str, Pair, dict[str, Any]]]:
        format, path = find_format(self.name)
        listed = next((path / name for name in METADATA if (path / name).is_file()), None) if format == "folder" else path
        if format in ("folder", "table") and listed:
            root = Path(self.pictures) if self.pictures and format == "table" else listed.parent
            for where, row in read_rows(listed):
                yield _table_row(row, root, where)
        elif format == "folder":
            for row in find_pictures(path):
                caption = row["caption"]
                yield row["file_name"], Pair(path / row["file_name"], (caption,) if caption else ()), {}
        else:
            data = read_data(self.name, self.pictures)
            self.skipped += data.skipped
            root = Path(os.path.abspath(self.pictures)) if self.pictures else path if path.is_dir() else path.parent
            for pair in data.pairs:
                yield _within(pair.picture, root), pair, {}

    def _read_shard(self, shard: Path) -> Iterator[tuple[str, Pair, dict[str, Any]]]:
        left_out: Counter[str] = Counter()
        try:
            for pair in read_webdataset(shard, left_out):
                yield f"{shard.name}/{pair.picture.start}", pair, {}
        except DataError as error:
            self.skipped.append(str(error))
        self.skipped += [f"{count:,} {what} left out of {shard.name}" for what, count in left_out.items()]


def _table_row(row: Any, root: Path, where: str) -> tuple[str, Pair, dict[str, Any]]:
    """Of a table's row: its id, its pair (which, unlike one to train on, may have no caption), and its other plain values."""
    texts = text_fields(row, where)
    name = next((row[key] for key in PICTURE if row.get(key)), None)
    if not isinstance(name, str):
        raise GalleryError(f"{where} has no picture: wanted a file name as {' or '.join(PICTURE)}")
    others = {key: value for key, value in row.items() if isinstance(value, (str, int, float)) and key not in _COLUMNS}
    return str(row.get("id") or name), Pair(join_within(root, name, where), **texts), others


_COLUMNS = {*PICTURE, "id", "long_caption", "caption", "text", "title", "short_caption", "captions", "family"}


def _within(picture: Path | Slice, root: Path) -> str:
    path = picture if isinstance(picture, Path) else picture.path
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return name if isinstance(picture, Path) else f"{name}/{picture.start}"


def _stamp(picture: Path | Slice) -> tuple[int, ...] | None:
    try:
        return stamp_of(picture.path if isinstance(picture, Slice) else picture)
    except (OSError, ValueError):
        return None
