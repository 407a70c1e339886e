"""SigLIP 2 (Tschannen et al., arXiv 2502.14786) as a judge: another family than the models that read prompts.

Its models of a fixed resolution (`SiglipModel` of transformers, with a `tokenizer.json`), from a folder or the hub.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from .. import hub
from ..devices import choose_device
from ..identity import identify
from ..registry import ModelSpec, resolve
from .quiet import hide_loading_bars

if TYPE_CHECKING:
    from PIL.Image import Image
    from tokenizers import Tokenizer
    from transformers import SiglipImageProcessor, SiglipModel

_CONFIG, _LOOK, _TOKENS = "config.json", "preprocessor_config.json", "tokenizer.json"
_END, _PAD = "<eos>", "<pad>"
_TEXTS_A_CALL = 32


class SigLIP:
    """Texts and pictures to unit vectors, as `Encoder` has them; made by `load_siglip`."""

    def __init__(self, spec: ModelSpec, model: SiglipModel, tokenizer: Tokenizer, look: SiglipImageProcessor) -> None:
        self.spec, self._model, self._tokenizer, self._look = spec, model, tokenizer, look
        self._end, self._pad = (tokenizer.token_to_id(token) for token in (_END, _PAD))

    @cached_property
    def identity(self) -> str:
        """As `Encoder` has it (`longclip.identity`); the weights are those that were loaded."""
        config, look = self._model.config.to_dict(), json.dumps(self._look.to_dict(), sort_keys=True, default=str)
        return identify(self._model, config, self._tokenizer.to_str(), look)

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to float32 [n, dim], rows of unit length. What goes beyond the context (64 tokens) is not read."""
        rows = []
        for first in range(0, len(texts), _TEXTS_A_CALL):
            ids = torch.tensor([self._ids(text) for text in texts[first : first + _TEXTS_A_CALL]], device=self._model.device)
            rows.append(self._model.get_text_features(ids).pooler_output)
        return _unit(torch.cat(rows))

    @torch.inference_mode()
    def encode_image(self, pictures: Sequence[Image]) -> np.ndarray:
        """Pictures to float32 [n, dim], rows of unit length."""
        pixels = self._look([picture.convert("RGB") for picture in pictures], return_tensors="pt")["pixel_values"]
        return _unit(self._model.get_image_features(pixels.to(self._model.device)).pooler_output)

    def _ids(self, text: str) -> list[int]:
        """In lower case, with an end token, and pads behind it up to the context: as it was trained, it reads them too."""
        length = self._model.config.text_config.max_position_embeddings
        ids = self._tokenizer.encode(text.lower(), add_special_tokens=False).ids[: length - 1] + [self._end]
        return ids + [self._pad] * (length - len(ids))


def load_siglip(name: str | os.PathLike[str], device: str | None = None, progress: hub.Progress | None = None) -> SigLIP:
    """A SigLIP 2 by its folder or ``hf-hub:owner/name[@revision]``, on the fastest device if none is named.
    Only safetensors are read.

    Raises ValueError for what is no such model, HubError for one that cannot be fetched.
    """
    from tokenizers import Tokenizer
    from transformers import SiglipImageProcessor, SiglipModel

    hide_loading_bars()
    where, spec = choose_device(device), resolve(name)
    folder = spec.folder if spec.source != "hub" else hub.fetch(spec, progress, choose=choose_files).path
    try:
        kind = json.loads((Path(folder) / _CONFIG).read_text("utf-8"))["model_type"]
        if kind != "siglip":
            raise ValueError(f"its config says {kind!r}")
        model = SiglipModel.from_pretrained(folder, use_safetensors=True, local_files_only=True, dtype=torch.float32)
        look = SiglipImageProcessor.from_pretrained(folder, local_files_only=True)
        tokenizer = Tokenizer.from_file(str(Path(folder) / _TOKENS))
        missing = [token for token in (_END, _PAD) if tokenizer.token_to_id(token) is None]
        if missing:
            raise ValueError(f"its {_TOKENS} has no {' and no '.join(missing)}")
    except Exception as error:  # four libraries read it, each with errors of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{name} is no SigLIP 2 of a fixed resolution with its {_TOKENS}: {reason}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return SigLIP(spec, model.eval().requires_grad_(False).to(where), tokenizer, look)


def choose_files(spec: ModelSpec, present: set[str]) -> tuple[str, ...]:
    """What is fetched of a repository. Raises HubError where it lacks something."""
    weights = sorted(name for name in present if name.endswith(".safetensors") and "/" not in name)
    index = [name for name in present if name == "model.safetensors.index.json"]
    missing = [name for name in (_CONFIG, _LOOK, _TOKENS) if name not in present]
    if missing or not weights:
        raise hub.HubError(f"{spec.repository} has no {', '.join(missing) or 'safetensors'} at revision {spec.revision}")
    return (_CONFIG, _LOOK, _TOKENS, *index, *weights)


def _unit(features: torch.Tensor) -> np.ndarray:
    return F.normalize(features.float(), dim=-1).cpu().numpy()
