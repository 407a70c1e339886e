"""webdataset shards: tar files in which neighbours of one name are a sample. Only their headers and texts are read."""

from __future__ import annotations

import glob
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..pairs import DataError, Pair, Slice
from .fields import text_fields
from .records import MAX_TEXT

_PICTURES = ("jpg", "jpeg", "png", "webp")
_TEXTS = ("json", "txt")
_MAX_SHARDS = 100_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")

Sample = dict[str, tarfile.TarInfo]


def read_webdataset(path: Path, left_out: Counter[str]) -> Iterator[Pair]:
    """The samples of all shards, in the order of the shards' names and of the samples in them.

    path: a shard, a folder of them, or a pattern with ``*`` or ``{000..012}``. A sample's captions are those of its .json
    (fields as in a table), or else its .txt. Samples without picture or caption are left out.
    """
    for shard in find_shards(path):
        try:
            with tarfile.open(shard, "r:") as tar:
                for key, sample in _group(tar, shard).items():
                    yield from _read_sample(tar, shard, key, sample, left_out)
        except tarfile.TarError as error:
            raise DataError(f"{shard} is {_fault(shard)} ({error})") from None


def find_shards(pattern: Path) -> list[Path]:
    """The tar files that a path or pattern names. Raises FileNotFoundError where a part of it names none."""
    shards: list[Path] = []
    for name in _expand(str(pattern)):
        if Path(name).is_dir():
            found = sorted(Path(name).glob("*.tar"))
        else:
            found = [Path(name)] if Path(name).is_file() else sorted(map(Path, glob.glob(name)))
        if not found:
            raise FileNotFoundError(f"there is no shard {name}")
        shards += [Path(os.path.abspath(shard)) for shard in found]
    return shards


def _expand(pattern: str) -> list[str]:
    """The names that the ranges of a pattern stand for: ``{08..10}`` is 08, 09, 10."""
    names = [pattern]
    while _RANGE.search(names[0]):
        first, last = _RANGE.search(names[0]).groups()
        if len(names) * (int(last) - int(first) + 1) > _MAX_SHARDS or int(last) < int(first):
            raise DataError(f"{pattern} stands for no shard or for more than {_MAX_SHARDS:,}")
        numbers = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
        names = [_RANGE.sub(number, name, count=1) for name in names for number in numbers]
    return names


def _group(tar: tarfile.TarFile, shard: Path) -> dict[str, Sample]:
    """The members of interest by key (the path up to the first dot of the file's name) and ending."""
    samples: dict[str, Sample] = {}
    while (member := tar.next()) is not None:
        if member.size < 0:
            # Older versions of tarfile would step back by it, and read the same header for ever.
            raise DataError(f"{shard} holds {member.name!r} of {member.size} bytes: it is damaged")
        folder, slash, name = member.name.rpartition("/")
        stem, _, ending = name.partition(".")
        # A sparse file's bytes do not stand in one piece.
        if not member.isreg() or member.issparse() or ending.lower() not in (*_PICTURES, *_TEXTS):
            continue
        sample = samples.setdefault(folder + slash + stem, {})
        if ending.lower() in sample:
            raise DataError(f"{shard} holds {member.name!r} twice")
        sample[ending.lower()] = member
    _check_end(tar, shard)
    return samples


def _check_end(tar: tarfile.TarFile, shard: Path) -> None:
    """tarfile takes a damaged header, or no header at all, for the end: the mark of the end must really be there."""
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise DataError(f"{shard} is cut off or damaged at byte {tar.offset:,}: copy it again")


def _read_sample(tar: tarfile.TarFile, shard: Path, key: str, sample: Sample, left_out: Counter[str]) -> Iterator[Pair]:
    picture = next((sample[ending] for ending in _PICTURES if ending in sample), None)
    texts = {ending: _read_text(tar, sample[ending]) for ending in _TEXTS if ending in sample}
    fields = {"captions": ()}
    if "json" in texts:
        try:
            fields = text_fields(json.loads(texts["json"]), key)
        except (ValueError, RecursionError):
            left_out["samples with a .json that cannot be read"] += 1
            return
    captions = fields.pop("captions") or (texts.get("txt", "").strip(),)
    if picture is None or not captions[0]:
        left_out["samples without picture" if picture is None else "samples without caption"] += 1
    else:
        yield Pair(Slice(shard, picture.offset_data, picture.size), captions, **fields)


def _read_text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """A member's words; those of one too large for a caption count as none."""
    if member.size > MAX_TEXT:
        return ""
    return tar.extractfile(member).read().decode("utf-8-sig", "replace")


def _fault(shard: Path) -> str:
    with shard.open("rb") as file:
        packed = file.read(8).startswith(_COMPRESSED)
    return "compressed: unpack it to a plain .tar, where any sample can be reached at once" if packed else "no whole tar file"
