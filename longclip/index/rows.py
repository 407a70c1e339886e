"""The pictures of a stored gallery, and where they are found: a folder, or any format of `longclip.data.readers`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contents import stamp_of
from ..data.collected import Collected
from ..data.left_out import LeftOut
from ..data.pairs import DataError, Pair, Slice
from ..data.readers import find_format, read_data
from ..data.readers.fields import PICTURE, is_text_field
from ..data.readers.listed import group_listed, read_listed_folder, read_listed_table
from ..data.readers.shards import find_shards
from ..data.readers.webdataset import read_webdataset
from ..data.splits import ALL, split_name
from ..gallery import unused_name
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
    """What a gallery is made from; split: a part of it, as `longclip.data.splits.choose_split` takes it.

    While rows are read, `skipped` fills with a sentence on all that was left out, and `missing` counts files that are not
    there and shards that cannot be read.
    """

    name: str
    pictures: str | None = None
    split: str | None = None
    skipped: list[str] = field(default_factory=list)
    missing: int = 0

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
                self.missing += 1
                continue
            id = unused_name(id, taken)
            taken[id] = None
            more = {"label": pair.label, "family": pair.family, "captions": list(pair.captions[1:])}
            metadata = {name: value for name, value in (metadata | more).items() if value not in ("", [])}
            yield Row(id, pair.picture, stamp, next(iter(pair.captions), ""), pair.short, metadata)

    def _read(self) -> Iterator[tuple[str, Pair, dict[str, Any]]]:
        format, path = find_format(self.name)
        left_out = LeftOut()
        if format == "table" and path.is_file():
            root = Path(os.path.abspath(self.pictures)) if self.pictures else path.parent
            entries = read_listed_table(path, root, left_out)
        elif format == "folder":
            entries = read_listed_folder(path, left_out)
        else:
            data = read_data(self.name, self.pictures, self.split)
            self.skipped += data.skipped
            root = Path(os.path.abspath(self.pictures)) if self.pictures else path if path.is_dir() else path.parent
            for pair in data.pairs:
                yield _within(pair.picture, root), pair, {}
            return
        for listed in group_listed(entries, self.split, self.name):
            others = {key: value for key, value in listed.row.items() if _is_plain(key, value)}
            yield listed.id, listed.pair, others
        self.skipped += left_out

    def _read_shard(self, shard: Path) -> Iterator[tuple[str, Pair, dict[str, Any]]]:
        left_out = LeftOut()
        wanted = None if self.split in (None, ALL) else {split_name(name) for name in self.split.split("+")}
        try:
            # The files of a shard that are links to each other are one picture.
            for pair in Collected(read_webdataset(shard, left_out)).select():
                if wanted is None or pair.split in wanted:
                    yield f"{shard.name}/{pair.picture.start}", pair, {}
                else:
                    left_out.add(f"pictures of the split {pair.split!r}")
        except DataError as error:
            self.skipped.append(str(error))
            self.missing += 1
        self.skipped += [f"{shard.name}: {sentence}" for sentence in left_out]


def _is_plain(key: str, value: Any) -> bool:
    """Whether a field of a row is kept as it is: those that say what a `Row` says are not."""
    return isinstance(value, (str, int, float)) and value == value and not is_text_field(key) and key not in _COLUMNS


_COLUMNS = {*PICTURE, "id", "short_caption", "family"}


def _within(picture: Path | Slice, root: Path) -> str:
    path = picture if isinstance(picture, Path) else picture.path
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return name if isinstance(picture, Path) else f"{name}/{picture.start}"


def _stamp(picture: Path | Slice) -> tuple[int, ...] | None:
    try:
        return stamp_of(picture.path if isinstance(picture, Slice) else picture)
    except (OSError, ValueError):
        return None
