"""Tensors and JSON in files: only safetensors and `weights_only` pickles are read, and every failure is a sentence."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from longclip.checkpoints.checkpoint import CheckpointError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file, on the CPU; a training checkpoint's `state_dict`, without `module.` in front.

    Raises CheckpointError for a missing or truncated file, a pickle with code in it, a TorchScript archive, and
    anything that is not a mapping from names to tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"no file {path}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds a {type(content).__name__}, wanted names and tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path} holds {name!r} of type {type(value).__name__}, wanted names and tensors only")
    if all(name.startswith("module.") for name in content):
        return {name.removeprefix("module."): value for name, value in content.items()}
    return dict(content)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no safetensors file, or is cut short: {error}") from error


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        _refuse_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if start == b"PK" or start[:1] == pickle.PROTO:
            raise CheckpointError(f"{path} is a pickle with code in it, which is never run: wanted tensors only") from error
        raise CheckpointError(f"{path} is no checkpoint: neither safetensors nor a file of torch.save") from error
    except (EOFError, OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CheckpointError(f"{path} is no checkpoint, or is cut short") from error


def _refuse_archive(path: Path) -> None:
    """Refuse a zip archive that is cut short, and TorchScript, which is a program and not only weights."""
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is cut short: it begins as a file of torch.save and has no end")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(
            f"{path} is a TorchScript archive (as OpenAI publishes them), which is a program and is not run: name the "
            "model as open_clip does, 'ViT-B-16' with pretrained 'openai', or give its state dict"
        )


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

    Its permissions are those of any new file: safetensors makes its own for the owner alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.touch()
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
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, wanted a JSON object")
    return content


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write a JSON object, readable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
