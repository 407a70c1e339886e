"""A text tower as the diffusion pipelines expect it: transformers' `CLIPTextModel` and `CLIPTokenizer`."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache
from itertools import count, takewhile
from typing import TYPE_CHECKING

import torch
from torch.nn import LayerNorm

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.hugging_face import to_state
from ..checkpoints.hugging_face_config import write_text_config
from ..encoder import Encoder
from ..positions import stretch_positions
from ..tokenizer_files import make_tokenizer, take_apart
from ..tokens import Tokenizer

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

_TABLE = "embeddings.position_embedding.weight"


def text_model(encoder: Encoder, blocks: int | None = None) -> CLIPTextModel:
    """The text tower of any CLIP or Long-CLIP, its weights copied, on the encoder's device; or its lowest `blocks` alone, for a
    pipeline that reads these.

    Its hidden states are the encoder's own (`LongCLIP.text_states`), position by position.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    state = {name: value.detach() for name, value in encoder.model.state_dict().items()}
    checkpoint = Checkpoint(encoder.model.config, state, "model")
    text = {name: value for name, value in state.items() if not name.startswith(("visual.", "logit_", "text_projection"))}
    config = CLIPTextConfig(**write_text_config(checkpoint))
    config.num_hidden_layers = min(blocks or config.num_hidden_layers, config.num_hidden_layers)
    model = CLIPTextModel(config)
    # Releases of transformers differ in whether the tower's names begin with its own.
    prefix = "" if _TABLE in model.state_dict() else "text_model."
    theirs = {prefix + name.removeprefix("text_model."): value for name, value in to_state(text).items()}
    wanted = model.state_dict()
    model.load_state_dict({name: theirs[name] for name in wanted})
    return model.eval().requires_grad_(False).to(encoder.device)


def final_norm(model: CLIPTextModel) -> LayerNorm:
    """The norm that a text model ends with."""
    return next(module for place, module in model.named_modules() if place.endswith("final_layer_norm"))


def stretch_text_model(model: CLIPTextModel | CLIPTextModelWithProjection) -> CLIPTextModel | CLIPTextModelWithProjection:
    """A text model that reads 248 tokens: its positions stretched with knowledge preserved, all else shared with `model`.

    For a second text encoder of which no Long-CLIP exists (SDXL's): stretched, not trained, as the paper's code does.
    """
    state = model.state_dict()
    name = next(name for name in state if name.endswith(_TABLE))
    table = stretch_positions(state[name])
    config = copy.deepcopy(model.config)
    config.max_position_embeddings = len(table)
    with torch.device("meta"):  # no memory for weights that are shared
        stretched = type(model)(config)
    stretched.load_state_dict(state | {name: table}, assign=True)
    for place, module in stretched.named_modules():
        if place.endswith("embeddings") and hasattr(module, "position_ids"):  # no state_dict holds this one
            module.position_ids = torch.arange(len(table), device=table.device)[None]
    return stretched.eval().requires_grad_(False)


def clip_tokenizer(tokenizer: Tokenizer) -> CLIPTokenizer:
    """The same vocabulary and length as a tokenizer of transformers."""
    return make_tokenizer(tokenizer.vocab, tokenizer.merges, tokenizer.context_length, tokenizer.added.tokens)


def own_tokenizer(tokenizer: CLIPTokenizer) -> Tokenizer:
    """Transformers' tokenizer as ours, which knows the characters that each token stands for.

    Where "<cat>" was learned as several vectors, it is read as "<cat>", "<cat>_1" and so on, as diffusers reads it.
    """
    return _own_tokenizer(tokenizer, len(tokenizer), tokenizer.model_max_length)


@lru_cache(maxsize=8)
def _own_tokenizer(tokenizer: CLIPTokenizer, size: int, length: int) -> Tokenizer:
    """Made once, as it takes a while, and again where textual inversion has added tokens since."""
    parts = take_apart(tokenizer)
    ids = {token.content: token.id for token in parts.added}
    added = []
    for token in parts.added:
        names = takewhile(ids.__contains__, (f"{token.content}_{number}" for number in count(1)))
        added.append(replace(token, following=tuple(ids[name] for name in names)))
    return Tokenizer(parts.vocab, parts.merges, length, added=added)
