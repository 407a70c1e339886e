"""open_clip's configurations: one that is named, or the one that some weights fit.

Weights alone do not say how wide a head is, which GELU they were trained with, or how pictures are prepared. Where their
shapes are those of one of open_clip's configurations, and of no other, it is theirs; else it must be named.
"""

from __future__ import annotations

import copy
import difflib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.constants import HF_CONFIG_NAME
from open_clip.model import CLIP, CustomTextCLIP
from torch import Tensor

from longclip.checkpoints.checkpoint import PROCESSOR, CheckpointError, empty_state
from longclip.checkpoints.files import read_json
from longclip.checkpoints.hugging_face_config import read_config, read_processor
from longclip.model import Config

Named = str | PathLike[str] | Mapping[str, Any]
"""A configuration's name in open_clip, the path of its JSON file, or its content."""

Shapes = Mapping[str, tuple[int, ...]]

HINT = "as {name}#CONFIG or with --config CONFIG (load(…, config=CONFIG) in Python)"
_ROWS = "positional_embedding"
_NUMBERS = ("logit_scale", "logit_bias")
_PLAIN, _OTHER = "CLIP's", "another"
_GRIDS = ("visual.positional_embedding", "visual.attnpool.positional_embedding")


@dataclass(frozen=True)
class Description:
    """A configuration and where it comes from."""

    config: Config
    preprocess: dict[str, Any]
    origin: str
    processor: dict[str, Any] | None = None


def find_configuration(named: Named, state: Mapping[str, Tensor]) -> Description:
    """A configuration by what names it. Raises CheckpointError for a name that is none, and for JSON that is none."""
    if isinstance(named, Mapping):
        return _describe(named, state, "the configuration given")
    text = str(named)
    # The functions of `os.path`, unlike those of a Path, raise for no text whatever.
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):
        path = next((path / name for name in (HF_CONFIG_NAME, "config.json") if (path / name).is_file()), path / HF_CONFIG_NAME)
    if os.path.isfile(path):
        found = _describe(read_json(path), state, path.name)
        theirs = path.name == "config.json" and found.processor is None and not found.preprocess
        return replace(found, processor=read_processor(path.parent)) if theirs else found
    known = open_clip.get_model_config(text.replace("/", "-"))
    if known is None:
        near = difflib.get_close_matches(text, open_clip.list_models(), 3, 0.5)
        like = f"; alike are {', '.join(near)}" if near else ""
        raise CheckpointError(
            f"no configuration {path.name!r}: wanted the path of a JSON file, or one of the {len(open_clip.list_models())} "
            f"names of open_clip.list_models(){like}"
        )
    return Description(known, {}, f"open_clip's {text}")


def is_configuration(content: Mapping[str, Any]) -> bool:
    """Whether a JSON file's content is a CLIP's configuration: open_clip's, bare or with preprocessing, or Hugging Face's."""
    config = content.get("model_cfg", content)
    towers = isinstance(config, Mapping) and all(isinstance(config.get(tower), Mapping) for tower in ("vision_cfg", "text_cfg"))
    return towers and "embed_dim" in config or content.get("model_type") == "clip"


def _describe(content: Mapping[str, Any], state: Mapping[str, Tensor], origin: str) -> Description:
    if not is_configuration(content):
        raise CheckpointError(f"{origin} is no configuration of a CLIP: wanted 'model_cfg' with 'vision_cfg' and 'text_cfg'")
    if content.get("model_type") == "clip":
        return Description(read_config(content, len(state[_ROWS]) if _ROWS in state else 77), {}, origin)
    config = content.get("model_cfg") or content
    return Description(copy.deepcopy(dict(config)), dict(content.get("preprocess_cfg") or {}), origin, content.get(PROCESSOR))


def adapt(config: Config, state: Shapes) -> tuple[Config, list[str]]:
    """A config with the context length and the picture size of some weights, and what that changed, in words."""
    config, changes = copy.deepcopy(config), []
    text, vision = config["text_cfg"], config["vision_cfg"]
    rows, length = state.get(_ROWS, ()), text.get("context_length", 77)
    if len(rows) == 2 and rows[0] != length:
        text["context_length"] = rows[0]
        changes.append(f"context length {rows[0]} in place of {length}")
    for name, cell in zip(_GRIDS, (vision.get("patch_size", 16), 32), strict=True):
        if name in state and isinstance(vision.get("image_size", 224), int) and isinstance(cell, int) and cell > 0:
            grid = math.isqrt(max(0, state[name][0] - 1))
            size = vision.get("image_size", 224)
            if grid * grid == state[name][0] - 1 and grid != size // cell:
                vision["image_size"] = grid * cell
                changes.append(f"pictures of {grid * cell} pixels in place of {size}")
    return config, changes


def match_configuration(state: Mapping[str, Tensor], where: str) -> tuple[Config, str]:
    """The config that weights without one fit, and a sentence on it.

    Raises CheckpointError where several do, which it names, none, or one whose model cannot be built here.
    """
    shapes = {name.removeprefix("text."): tuple(value.shape) for name, value in state.items()}
    fits = _find_fits(shapes)
    hint = HINT.format(name=where)
    total = len(open_clip.list_models())
    if not fits:
        raise CheckpointError(
            f"{where} holds weights without their configuration, and their shapes{_sizes(shapes)} are those of none of "
            f"open_clip's {total}: name one, {hint}, CONFIG being the path of its JSON file"
        )
    built, reasons = {}, {}
    for name, (config, changes) in fits.items():
        try:
            empty_state(config, name)
            built[name] = config, changes
        except CheckpointError as error:
            reasons[name] = error.__cause__ or error
    names = " and ".join(filter(None, [", ".join(list(fits)[:-1]), list(fits)[-1]]))
    if not built:
        raise CheckpointError(
            f"{where} holds weights with the shapes of open_clip's {names}, which cannot be read here: "
            f"{reasons[next(iter(fits))]}"
        )
    first, (config, changes) = next(iter(built.items()))
    but = f", but for {' and '.join(changes)}" if changes else ""
    if len(fits) > 1 and (reasons or any(other != config for other, _ in built.values())):
        quick = " (OpenAI's weights, and what was trained from them, have QuickGELU)" if "quickgelu" in names else ""
        raise CheckpointError(
            f"{where} holds weights without their configuration, and several of open_clip's {total} have their shapes{but}: "
            f"{names}{quick}; name the right one, {hint}"
        )
    return config, f"its shapes fit one of open_clip's {total} configurations, {names}{but}: it is read as that"


def _find_fits(shapes: Shapes) -> dict[str, tuple[Config, list[str]]]:
    """The configurations that have these shapes by name, and what had to be adapted; those that fit as they are, if any do."""
    exact, near = {}, {}
    found, named = _signature(shapes), {name: shape for name, shape in shapes.items() if name not in _NUMBERS}
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        wanted = _signature_of(config)
        if any(wanted.get(key) != value for key, value in found.items()):
            continue
        adapted, changes = adapt(config, shapes)
        if found["text"] == _PLAIN and _shapes_of(json.dumps(adapted)) != named:
            continue
        (near if changes else exact)[name] = adapted, changes
    return exact or near


@lru_cache(maxsize=32)
def _shapes_of(config: str) -> Shapes:
    """Names and shapes of the model of a config, given as JSON, as open_clip builds it."""
    settings = json.loads(config)
    kind = CustomTextCLIP if settings.pop("custom_text", False) else CLIP
    if "timm_model_name" in settings["vision_cfg"]:
        settings["vision_cfg"]["timm_model_pretrained"] = False
    with torch.device("meta"):
        state = kind(**settings).state_dict()
    names = ((name.removeprefix("text."), tuple(value.shape)) for name, value in state.items())
    return {name: shape for name, shape in names if name not in _NUMBERS}


def _signature(shapes: Shapes) -> dict[str, Any]:
    """What can be read off some shapes at once, to leave most configurations aside."""
    found: dict[str, Any] = {"text": _PLAIN if "token_embedding.weight" in shapes else _OTHER}
    if found["text"] == _PLAIN:
        found["vocabulary"], found["text width"] = shapes["token_embedding.weight"]
        found["text layers"] = _count(shapes, "transformer.resblocks.")
    if len(shapes.get("text_projection", ())) == 2:
        found["features"] = shapes["text_projection"][1]
    if any(name.startswith("visual.trunk.") for name in shapes):
        found["vision"] = "timm"
    elif "visual.layer1.0.conv1.weight" in shapes:
        found["vision"], found["vision width"] = "ResNet", shapes["visual.layer1.0.conv1.weight"][0]
        found["vision layers"] = [_count(shapes, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)]
    elif "visual.conv1.weight" in shapes:
        found["vision"], found["vision width"] = "ViT", shapes["visual.conv1.weight"][0]
        found["vision layers"] = _count(shapes, "visual.transformer.resblocks.")
        found["patch"] = shapes["visual.conv1.weight"][-1]
    return found


def _signature_of(config: Config) -> dict[str, Any]:
    """The same of a config."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    wanted = {
        "text": _OTHER if "hf_model_name" in text or "multimodal_cfg" in config else _PLAIN,
        "vocabulary": text.get("vocab_size", 49408),
        "text width": text.get("width", 512),
        "text layers": text.get("layers", 12),
        "features": config["embed_dim"],
        "vision layers": vision.get("layers", 12),
        "vision width": vision.get("width", 768 if not isinstance(vision.get("layers"), list) else 64),
        "patch": vision.get("patch_size", 16),
    }
    kind = "timm" if "timm_model_name" in vision else "ResNet" if isinstance(vision.get("layers"), list) else "ViT"
    return wanted | {"vision": kind}


def _count(shapes: Shapes, prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in shapes if name.startswith(prefix)})


def _sizes(shapes: Shapes) -> str:
    found = _signature(shapes)
    told = [
        f"{key} {found[key]}"
        for key in ("vision", "vision width", "vision layers", "patch", "text width", "text layers")
        if key in found
    ]
    return f" ({', '.join(told)})"
