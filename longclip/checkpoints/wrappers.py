"""Weights out of what training puts around them: containers, prefixes, averages, and other ways to hold a matrix.

A checkpoint is a nest of mappings, of which one holds the model; its names may begin with what wrapped the model
(`module.`, `_orig_mod.`, Lightning's `model.`). What lies beside it (`epoch`, an optimiser's state) is left. Where the
weights and their running average are both there, the average is read, as evaluation uses it, and a sentence says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from longclip.checkpoints.checkpoint import CheckpointError
from longclip.checkpoints.foreign import name_foreign, name_weights

State = dict[str, Tensor]

# Wrappers of a module or of any of its parts, which leave their name in the middle.
_WRAPPED = re.compile(r"(?:(?<=\.)|^)(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# A name that every CLIP has; what stands before it is the prefix of the whole model.
_ANCHOR = re.compile(
    r"(.*?)(?:text\.)?(?:token_embedding\.weight|text_model\.embeddings\.token_embedding\.weight|visual\.(?:conv1|trunk)\."
    r".*|vision_model\.embeddings\.patch_embedding\.weight|text\.transformer\.embeddings\..*)"
)
_AVERAGE = re.compile(r"(^|[._/])(ema|averaged|swa)([._/]|$)", re.IGNORECASE)
# Counters that averages and trainers keep among the tensors.
_COUNTERS = {"n_averaged", "num_updates", "decay", "initted", "step", "epoch", "iteration", "global_step"}
_NUMBERS = ("logit_scale", "logit_bias")
_DEPTH = 5


def unwrap(content: Any, where: str) -> tuple[State, tuple[str, ...]]:
    """A model's tensors by its own names from the content of a file, and sentences on what was chosen.

    Raises CheckpointError, `where` naming the file, for what holds no weights of a CLIP, and says what it holds.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{where} holds a {type(content).__name__}, wanted names and tensors")
    found = dict(_find_tensors(content))
    models = {}
    for place, state in found.items():
        if foreign := name_foreign(state):
            raise CheckpointError(f"{where} holds {foreign}")
        for prefix, part in _split(state).items():
            models["/".join(filter(None, [place, prefix.rstrip(".")]))] = part
    if not models:
        raise CheckpointError(_explain(content, found, where))
    place, notes = _choose(list(models), where)
    state = _plain({name: value for name, value in models[place].items() if name not in _COUNTERS}, where)
    if foreign := name_weights(state):
        raise CheckpointError(f"{where} holds {foreign}")
    return state, notes


def _find_tensors(content: Mapping[Any, Any], place: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """(place, tensors) of each mapping in a nest that holds tensors by name."""
    state = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if state:
        yield place, state
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Mapping) and depth < _DEPTH:
            yield from _find_tensors(value, f"{place}/{name}" if place else name, depth + 1)


def _split(state: State) -> dict[str, State]:
    """The models among some tensors, by the prefix of their names, which they lose; what has none goes with the first."""
    names = {name: _WRAPPED.sub("", name) for name in state}
    if len(set(names.values())) < len(names):
        # Two of them differ by a wrapper alone: one of a model and one of its copy. They are told apart as prefixes.
        names = {name: name for name in state}
    matches = [_ANCHOR.fullmatch(name) for name in names.values()]
    prefixes = sorted({match[1] for match in matches if match}, key=len, reverse=True)
    parts: dict[str, State] = {prefix: {} for prefix in prefixes}
    for old, name in names.items():
        for prefix in prefixes:
            if name.startswith(prefix):
                parts[prefix][name.removeprefix(prefix)] = state[old]
                break
        else:
            parts.get(prefixes[0] if len(prefixes) == 1 else "", {})[name] = state[old]
    return parts


def _choose(places: list[str], where: str) -> tuple[str, tuple[str, ...]]:
    if len(places) == 1:
        return places[0], ()
    averages = [place for place in places if _AVERAGE.search(place)]
    shown = ", ".join(repr(place or "its top") for place in places)
    if len(places) == 2 and len(averages) == 1:
        return averages[0], (f"it holds weights twice, in {shown}: the average of training, {averages[0]!r}, is read",)
    raise CheckpointError(f"{where} holds {len(places)} models, in {shown}: wanted a file of one of them")


def _explain(content: Mapping[Any, Any], found: dict[str, State], where: str) -> str:
    """Why there is no CLIP in a file."""
    if "param_groups" in content or ("optimizer" in content and not found):
        return f"{where} holds an optimiser's state, wanted a model's weights"
    if not found:
        kinds = ", ".join(f"{name!r} of type {type(value).__name__}" for name, value in list(content.items())[:3])
        return f"{where} holds {kinds or 'nothing'}, wanted names and tensors"
    state = max(found.values(), key=len)
    some = ", ".join(map(repr, list(state)[:3]))
    return f"{where} holds {name_weights(_WRAPPED.sub('', name) for name in state) or 'no CLIP'} (names such as {some})"


def _plain(state: State, where: str) -> State:
    """Tensors as a model's own state dict has them: no buffers that any model makes, one form for each weight."""
    plain: State = {}
    for name, value in state.items():
        if value.is_meta or value.layout != torch.strided or value.is_quantized or value.is_complex():
            kind = "quantised" if value.is_quantized else f"{value.layout}, {value.dtype}, on {value.device}"
            raise CheckpointError(f"{where}: {name!r} is no plain tensor ({kind}), wanted one")
        value = value.detach()
        last = name.rpartition(".")[2]
        if last in ("attn_mask", "position_ids"):
            _check_buffer(name, value, where)
        elif last == "theta" and f"{name.removesuffix('theta')}r" in state:
            # Geometric parametrisation: a row's direction and its length, a matrix in two.
            length = state[f"{name.removesuffix('theta')}r"].detach()
            plain[f"{name.removesuffix('theta')}weight"] = _join(value, length, name, where)
        elif last == "r" and f"{name.removesuffix('r')}theta" in state:
            continue
        else:
            plain[name] = value.reshape(()) if name in _NUMBERS and value.numel() == 1 else value
    return plain


def _join(theta: Tensor, r: Tensor, name: str, where: str) -> Tensor:
    if theta.ndim != 2 or r.numel() != len(theta):
        raise CheckpointError(
            f"{where}: {name!r} has shape {list(theta.shape)} and its lengths {list(r.shape)}, wanted a length for each row"
        )
    return (r.float().reshape(-1, 1) * F.normalize(theta.float(), dim=1)).to(theta.dtype)


def _check_buffer(name: str, value: Tensor, where: str) -> None:
    """Raise CheckpointError where a stored buffer is not what every CLIP has."""
    if name.endswith("position_ids"):
        usual = torch.equal(value.flatten().long(), torch.arange(value.numel()))
    else:
        blocked = value if value.dtype == torch.bool else value < 0
        usual = value.ndim == 2 and torch.equal(blocked, torch.ones_like(blocked).triu(1))
    if not usual:
        raise CheckpointError(f"{where}: {name!r} is not that of a CLIP: wanted causal attention and positions in order")
