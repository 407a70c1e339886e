"""Tensors and JSON in files: only safetensors and `weights_only` pickles are read, and every failure is a sentence."""

from __future__ import annotations

import json
import os
import pickle
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from longclip.checkpoints.checkpoint import CheckpointError
from longclip.checkpoints.foreign import SAFETENSORS, TORCH, name_format
from longclip.checkpoints.wrappers import unwrap

INDEX = ".index.json"


def read_tensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The named tensors of a file, on the CPU, in its model's own names, and sentences on what was chosen.

    The content decides how it is read, not the name's end. An index of shards stands for all of them.

    Raises CheckpointError for a missing or truncated file, a pickle with code in it, a file of another kind, which it
    names, and anything that holds no weights.
    """
    if not path.is_file():
        raise CheckpointError(f"no file {path.name}")
    if path.name.endswith(INDEX):
        return _read_shards(path)
    return unwrap(_read_content(path), path.name)


def _read_content(path: Path) -> Any:
    try:
        kind = name_format(path)
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from error
    if kind == SAFETENSORS:
        return _read_safetensors(path)
    if kind == TORCH:
        return _read_pickle(path)
    raise CheckpointError(f"{path.name} is no checkpoint: it is {kind}, wanted safetensors or a file of torch.save")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
            notes = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is no safetensors file, or is cut short: {error}") from error
    # What shares its memory with another tensor is stored once; the notes say under which name.
    return state | {name: state[kept] for name, kept in notes.items() if name not in state and kept in state}


def _read_pickle(path: Path) -> Any:
    _check_sums(path)
    try:
        with path.open("rb") as file:  # by its name torch.load would take it for safetensors, whatever it holds
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f" (it would make a {found[1]})" if found else ""
        raise CheckpointError(
            f"{path.name} is a pickle with code in it{what}, which is never run: wanted tensors and plain values only"
        ) from error
    except (EOFError, OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path.name} is no checkpoint, or is cut short") from error


def _check_sums(path: Path) -> None:
    """Raise CheckpointError where a record of torch.save's archive is not what was written; torch.load does not look."""
    if not zipfile.is_zipfile(path):
        return
    broken, whole = [], 0
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            try:
                with archive.open(record) as content:
                    while content.read(1 << 22):
                        pass
                whole += bool(record.file_size)
            except (zipfile.BadZipFile, zlib.error):
                broken.append(record.filename)
    # torch.save can be told to leave sums out: then none of them is right.
    if broken and whole:
        raise CheckpointError(f"{path.name} is broken: its part {broken[0]!r} has changed since it was written")


def _read_shards(index: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or any(Path(str(name)).name != name for name in places.values()):
        raise CheckpointError(f"{index.name} has no 'weight_map' to files of its own folder")
    content: dict[str, Any] = {}
    for name in sorted(set(places.values())):
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index.name} names {name}, which is not there")
        shard = _read_content(index.parent / name)
        if not isinstance(shard, Mapping):
            raise CheckpointError(f"{name} holds a {type(shard).__name__}, wanted names and tensors")
        content |= shard
    lost = [name for name in places if name not in content]
    if lost:
        raise CheckpointError(f"{index.name} names {lost[0]!r}, which its file does not hold")
    return unwrap(content, index.name)


def write_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors, as safetensors or with torch.save by the name's end; the file appears whole or not at all."""
    tensors = {name: value.contiguous().clone() for name, value in state.items()}
    with part_of(path) as part:
        if path.suffix == ".safetensors":
            save_file(tensors, part, metadata={"format": "pt"})
        else:
            torch.save(tensors, part)


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` once all is written; nothing is left of it after an error.

    It is nobody else's: of two that write the same file at once, the last one to finish remains, whole. Its permissions
    are those of any new file: safetensors makes its own for the owner alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    part.touch(exist_ok=False)
    permissions = part.stat().st_mode
    try:
        yield part
        part.chmod(permissions)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; CheckpointError where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path.name} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} holds a {type(content).__name__}, wanted a JSON object")
    return content


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write a JSON object, readable; the file appears whole or not at all."""
    with part_of(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
