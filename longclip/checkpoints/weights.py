"""A file of weights: read as itself, with the configuration that it brings, that lies beside it, or that is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from open_clip.constants import HF_CONFIG_NAME
from torch import Tensor

from longclip.checkpoints import hugging_face, longclip, open_clip
from longclip.checkpoints.checkpoint import Checkpoint, CheckpointError, compare_states, empty_state
from longclip.checkpoints.configurations import (
    HINT,
    Description,
    Named,
    adapt,
    find_configuration,
    is_configuration,
    match_configuration,
)
from longclip.checkpoints.files import read_json, read_tensors
from longclip.model import Config


def read(path: Path, named: Named | None = None, format: str = open_clip.FORMAT) -> Checkpoint:
    """Read a file; `format` is what is said where its names are open_clip's.

    Raises CheckpointError for weights whose configuration nothing tells, and for one that does not fit.
    """
    if path.suffix == ".json" and not path.name.endswith(".index.json"):
        raise CheckpointError(f"{path.name} is JSON: wanted the file of the weights, or the folder of both")
    state, notes = read_tensors(path)
    checkpoint = from_state(state, path, named, format)
    return replace(checkpoint, notes=(*notes, *checkpoint.notes))


def from_state(state: dict[str, Tensor], path: Path, named: Named | None = None, format: str = open_clip.FORMAT) -> Checkpoint:
    """`read` for the weights of `path`, in memory."""
    own = None
    if hugging_face.is_theirs(state):
        if named is None and (path.parent / hugging_face.CONFIG).is_file():
            return hugging_face.read(path.parent, state)
        format, state = hugging_face.FORMAT, hugging_face.from_theirs(state)
    elif longclip.SECOND in state:
        format = longclip.FORMAT
        state, own = longclip.merge(state)
    elif any(name in state for name in open_clip.SCALARS):
        state = {name: value for name, value in state.items() if name not in open_clip.SCALARS}
        own = open_clip.openai_config(state, format)
    state = _without_text_prefix(state)
    found, beside = (find_configuration(named, state), False) if named is not None else (_find_beside(path, state), True)
    if own is not None:
        kind = "an official Long-CLIP" if format == longclip.FORMAT else "OpenAI's state dict"
        _check_own(found, own, kind, path.name, beside)
        return _fit(state, replace(found or Description(own, {}, ""), config=own), format, ())
    if found is None:
        config, note = match_configuration(state, path.name)
        return _fit(state, Description(config, {}, ""), format, (note,))
    if not beside:
        config, changes = adapt(found.config, {name: tuple(value.shape) for name, value in state.items()})
        but = f", with {' and '.join(changes)}" if changes else ""
        try:
            return _fit(state, replace(found, config=config), format, (f"its configuration is {found.origin}{but}",))
        except CheckpointError as error:
            raise CheckpointError(f"{path.name} does not fit {found.origin}: {error}") from error
    try:
        return _fit(state, found, format, (f"its configuration is {found.origin} beside it",))
    except CheckpointError as error:
        hint = HINT.format(name=path.name)
        raise CheckpointError(f"{path.name} does not fit {found.origin} beside it; name its own, {hint}: {error}") from error


def _find_beside(path: Path, state: Mapping[str, Tensor]) -> Description | None:
    """The configuration that lies beside a file: of its name, or the folder's."""
    names = (open_clip.configuration_file(path).name, f"{path.stem}.json", HF_CONFIG_NAME, hugging_face.CONFIG)
    for place in (path.with_name(name) for name in names if (path.parent / name).is_file()):
        # A file of these two names is of many things, the others are a configuration or broken.
        if place.name not in (f"{path.stem}.json", hugging_face.CONFIG) or is_configuration(read_json(place)):
            return find_configuration(place, state)
    return None


def _check_own(found: Description | None, own: Config, kind: str, name: str, beside: bool) -> None:
    """Raise CheckpointError where a configuration contradicts what a format says by itself."""
    if found is None:
        return
    faults = [f"{key} {theirs}, wanted {ours}" for key, theirs, ours in _differences(found.config, own) if theirs != ours]
    if faults:
        where = "beside it" if beside else "given"
        raise CheckpointError(f"{name} is {kind}, and the configuration {where}, {found.origin}, has {'; '.join(faults)}")


def _differences(config: Config, own: Config) -> list[tuple[str, object, object]]:
    """What shapes do not tell: (what, in a config, in the format's own)."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    pairs = [
        ("QuickGELU", bool(config.get("quick_gelu")), True),
        ("text heads", text.get("heads", 8), own["text_cfg"]["heads"]),
    ]
    if not isinstance(own["vision_cfg"]["layers"], list):
        pairs.append(("vision heads of width", vision.get("head_width", 64), 64))
    return pairs


def _fit(state: dict[str, Tensor], found: Description, format: str, notes: tuple[str, ...]) -> Checkpoint:
    config = found.config
    if "logit_bias" in state and config.get("init_logit_bias") is None:
        config = {**config, "init_logit_bias": float(state["logit_bias"])}
    compare_states(state, empty_state(config, format), format)
    return Checkpoint(config, state, format, found.preprocess, found.processor, notes)


def _without_text_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A CLIP that open_clip held as a CustomTextCLIP has `text.` before its text tower; its numbers are the same."""
    if not any(name.startswith("text.token_embedding.") for name in state):
        return state
    return {name.removeprefix("text."): value for name, value in state.items()}
