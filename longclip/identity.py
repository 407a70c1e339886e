"""One hash that names an embedder: of everything that changes a feature, and of nothing else.

It counts the weights as they were built, not as they lie in a file: a model of the hub whose branch moved, a folder that was
trained again and a mended configuration all get another name, and a copy of a model keeps its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

# To be raised when this code makes other features of the same model: then nothing that is stored fits any more.
VERSION = 1


def identify(model: nn.Module, config: Mapping[str, Any], tokenizer: str, preprocessing: str) -> str:
    """32 hexadecimal digits (of SHA-256) that name an embedder.

    model: its tensors count by name, shape, precision and contents, wherever they are. config: what it was built from.
    tokenizer, preprocessing: texts that describe all that decides about ids and pixels.
    """
    state = sorted(model.state_dict().items())
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter's lock
        weights = list(pool.map(_describe_tensor, state))
    described = [VERSION, json.dumps(config, sort_keys=True, default=str), tokenizer, preprocessing, weights]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:32]


def stamp(model: nn.Module) -> tuple[object, ...]:
    """What changes when a model's tensors are replaced, moved, cast, or written to; cheap, and of no meaning elsewhere.

    A change through ``tensor.data``, which torch itself does not count, is not seen.
    """
    tensors: Iterable[Tensor] = model.state_dict(keep_vars=True).values()
    return tuple((tensor.data_ptr(), tensor.dtype, 0 if tensor.is_inference() else tensor._version) for tensor in tensors)


def _describe_tensor(named: tuple[str, Tensor]) -> tuple[str, str, list[int], str]:
    name, tensor = named
    content = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()
    return name, str(tensor.dtype), list(tensor.shape), hashlib.sha256(content).hexdigest()
