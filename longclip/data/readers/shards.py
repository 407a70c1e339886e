"""Which tar files a path or a pattern names, and what is wrong with one that cannot be read."""

from __future__ import annotations

import glob
import os
import re
import tarfile
from pathlib import Path

from ..pairs import DataError

_MAX_FILES = 100_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


def find_shards(pattern: Path) -> list[Path]:
    """The tar files that a path or pattern names. Raises FileNotFoundError where a part of it names none."""
    return find_files(pattern, "*.tar", "shard")


def find_files(pattern: Path, within: str, what: str) -> list[Path]:
    """The files that a path or pattern names, those called `within` of a folder; absolute, in the order of their names."""
    files: list[Path] = []
    for name in _expand(str(pattern)):
        if Path(name).is_dir():
            found = sorted(Path(name).glob(within))
        else:
            found = [Path(name)] if Path(name).is_file() else sorted(map(Path, glob.glob(name)))
        if not found:
            raise FileNotFoundError(f"there is no {what} {name}")
        files += [Path(os.path.abspath(file)) for file in found]
    return files


def is_pattern(name: str) -> bool:
    """Whether a name has signs that may stand for several files."""
    return any(sign in name for sign in "*?[{")


def _expand(pattern: str) -> list[str]:
    """The names that the ranges of a pattern stand for: ``{08..10}`` is 08, 09, 10."""
    names = [pattern]
    while _RANGE.search(names[0]):
        first, last = _RANGE.search(names[0]).groups()
        if len(names) * (int(last) - int(first) + 1) > _MAX_FILES or int(last) < int(first):
            raise DataError(f"{pattern} stands for no file or for more than {_MAX_FILES:,}")
        numbers = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
        names = [_RANGE.sub(number, name, count=1) for name in names for number in numbers]
    return names


def check_end(tar: tarfile.TarFile, shard: Path) -> None:
    """tarfile takes a damaged header, or no header at all, for the end: the mark of the end must really be there."""
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise DataError(f"{shard} is cut off or damaged at byte {tar.offset:,}: copy it again")


def fault_of(shard: Path) -> str:
    """What a file is that is no tar file."""
    with shard.open("rb") as file:
        packed = file.read(8).startswith(_COMPRESSED)
    return "compressed: unpack it to a plain .tar, where any sample can be reached at once" if packed else "no whole tar file"
