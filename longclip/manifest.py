"""The hashes of what ships in `assets/`, and whether a model's files are still those."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .registry import assets

MANIFEST = "manifest.json"
_MEND = "restore it, from the repository or with `python -m longclip rebuild`"
# (file, size, time of change) of files that this process found whole.
_whole: set[tuple[Path, int, int]] = set()


class DamagedAsset(ValueError):
    """A file that ships with the project and is no longer what it was; the message says which."""


def check_model(folder: Path) -> None:
    """Compare the files of an embedded model with the manifest, each once in a process and again when it has changed.

    Raises DamagedAsset for one that is missing or holds something else. Nothing is compared where `assets/` has no manifest
    or the manifest does not know the model: what is being made is not hashed yet.
    """
    place = assets() / MANIFEST
    if not place.is_file():
        return
    try:
        listed = json.loads(place.read_text("utf-8")).get(folder.relative_to(assets()).as_posix(), {}).get("files", {})
    except (ValueError, AttributeError) as error:
        raise DamagedAsset(f"{MANIFEST} of the assets cannot be read ({error}): {_MEND}") from None
    for name, wanted in listed.items():
        path = folder / name
        if not path.is_file():
            raise DamagedAsset(f"{folder.name}/{name} is missing from the assets: {_MEND}")
        found = path.stat()
        stamp = path, found.st_size, found.st_mtime_ns
        if stamp not in _whole:
            if hash_file(path) != wanted:
                raise DamagedAsset(f"{folder.name}/{name} is damaged, or not the file that ships: {_MEND}")
            _whole.add(stamp)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """The hash of each file below a model's folder but its card, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in files}


def hash_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below a folder; of a file, over its content."""
    if folder.is_file():
        return hash_file(folder)
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\n{path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
