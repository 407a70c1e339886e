"""The gradient of a batch, which is the same whatever the batch is cut into: chunks on one device, processes on many.

Features are computed first and the losses taken on all of them together; then each chunk carries the gradient of its own
rows into the weights, run again where there are several (gradient caching, Gao et al., arXiv 2101.06983). As every
process sees all features, no gradient has to pass through the gathering.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from ..objectives.token_states import even_reading, token_state_loss
from ..objectives.word_naming import word_naming_loss
from .batches import Batch
from .losses import Features, watch, weigh_losses
from .towers import SHORT_CONTEXT

if TYPE_CHECKING:
    from .run import Run

_TEXTS = ("long", "short", "negative")


def add_gradient(run: Run, batch: Batch, number: int = 0) -> dict[str, float]:
    """Add the gradient of a batch, `number` of those before an update, to the weights'; the last is shared by processes.

    Returns the weighted losses, and what is watched beside them. Raises FloatingPointError for a loss that is not finite.
    """
    last = not number or number == run.recipe.accumulate
    chunks = list(batch.split(run.recipe.chunk))
    if len(chunks) == 1:
        _seed(run, number, 0)
        with _shared(run, last):
            features, losses = encode(run, batch)
            gradients, values = _gradients(run, batch, features)
            values |= _push(run, features, gradients, losses, 1.0)
        return values
    parts = []
    with torch.no_grad():
        for part, chunk in enumerate(chunks):
            _seed(run, number, part)
            parts.append(encode(run, chunk, states=False)[0])
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0] if name != "scale"}
    gradients, values = _gradients(run, batch, joined | {"scale": parts[0]["scale"]})
    first = 0
    for part, chunk in enumerate(chunks):
        rows = slice(first, first := first + len(chunk))
        _seed(run, number, part)
        with _shared(run, last and part == len(chunks) - 1):
            features, losses = encode(run, chunk)
            own = {name: gradient if name == "scale" else gradient[rows] for name, gradient in gradients.items()}
            if part:
                own["scale"] = torch.zeros_like(own["scale"])
            for name, value in _push(run, features, own, losses, len(chunk) / len(batch)).items():
                values[name] = values.get(name, 0.0) + value
    return values


def _seed(run: Run, number: int, chunk: int) -> None:
    """Let what a tower drops at random (patches, paths) depend on step and chunk alone: the same in both passes, and later."""
    name = f"{run.recipe.seed}/{run.step}/{number}/{chunk}/{run.accelerator.process_index}"
    torch.manual_seed(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big"))


def encode(run: Run, batch: Batch, states: bool = True) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features of the rows by name, with the scale; and, with `states`, the weighted losses of token states by name."""
    recipe = run.recipe
    texts = {name: getattr(batch, name) for name in _TEXTS if getattr(batch, name)}
    read = None
    # A pipeline reads short prompts too, and all the pads behind them.
    states_of = [name for name in ("long", "short") if name in texts and run.reference is not None]
    if states_of:
        texts_read = [text for name in states_of for text in texts.pop(name)]
        read = run.tokenizer.filled(texts_read, min(SHORT_CONTEXT, run.tokenizer.context_length)).to(run.device)
    ids = run.tokenizer.batch([text for part in texts.values() for text in part]).to(run.device) if texts else None
    named = _repeated(run, batch.long) if recipe.word_naming and states and read is None else None
    made = run.towers(run.pixels(batch.images), ids, read, named)
    features = {"image": made["image"], "scale": made["scale"]}
    if read is not None:
        features |= dict(zip(states_of, made["read"].split(len(batch)), strict=True))
    if texts:
        features |= dict(zip(texts, made["text"].split(len(batch)), strict=True))
    losses = {}
    if states and run.reference is not None:
        known = run.reference.context_length
        with torch.no_grad():
            before = run.reference.text_states(read[:, :known])
        kept, counted = made["states"][:, :known], _counted(run, read)[:, :known]
        losses["token states"] = recipe.token_states * token_state_loss(kept, before, counted, run.reading)
    if states and recipe.word_naming:
        seen, where = (made["named"], named) if read is None else (made["states"], read)
        losses["naming"] = recipe.word_naming * word_naming_loss(seen, where, _words(run, where), run.codes)
    return features, losses


@torch.no_grad()
def read_evenly(run: Run, batch: Batch) -> None:
    """Let token states be compared as if the reference's states of these captions varied alike in all directions."""
    if run.reference is None:
        return
    ids = run.tokenizer.filled(batch.long, min(SHORT_CONTEXT, run.tokenizer.context_length)).to(run.device)
    ids = ids[:, : run.reference.context_length]
    _, run.reading = even_reading(run.reference.text_states(ids)[_counted(run, ids)].float())


def _counted(run: Run, ids: Tensor) -> Tensor:
    """Which positions [n, L] a pipeline reads: those of the text, its end, and of the pads behind it those that fill 77."""
    ended = (ids == run.tokenizer.end_id).cumsum(1)
    return (ended <= 1) | (torch.arange(ids.shape[1], device=ids.device) < SHORT_CONTEXT)


def _repeated(run: Run, captions: list[str]) -> Tensor:
    """Ids [n, L] of captions, short ones said again and again up to position 77: words are named wherever a pipeline reads."""
    counts = (len(run.tokenizer(caption).ids) - 2 for caption in captions)
    texts = [" ".join([caption] * -(-SHORT_CONTEXT // max(1, count))) for caption, count in zip(captions, counts, strict=True)]
    return run.tokenizer.batch(texts).to(run.device)


def _words(run: Run, ids: Tensor) -> Tensor:
    """Which ids [n, L] are words: those between the start and the end token."""
    words = (ids == run.tokenizer.end_id).cumsum(1) == 0
    words[:, 0] = False
    return words


def _gradients(run: Run, batch: Batch, features: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The losses' gradients by the features of this process, times the number of processes, which then average them."""
    leaves = {name: value.detach().float().requires_grad_() for name, value in features.items()}
    everyone = {name: leaf if name == "scale" else gather(leaf) for name, leaf in leaves.items()}
    if batch.negative:
        everyone["present"] = gather(torch.tensor([float(bool(text)) for text in batch.negative], device=run.device)) > 0
    whole = Features(**everyone)
    losses = weigh_losses(run.recipe, whole, run.step / run.recipe.steps, run.processes)
    total = torch.stack(list(losses.values())).sum()
    if not torch.isfinite(total):
        raise FloatingPointError(
            f"the loss is {total.item()} at step {run.step} (learning rate {run.rate:.2e}; {named(batch)}): a lower "
            "learning_rate may help; the states on disk are untouched"
        )
    run.scaled(total).backward()
    gradients = {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad * (1 if name == "scale" else run.processes)
        for name, leaf in leaves.items()
    }
    return gradients, {name: loss.item() for name, loss in losses.items()} | watch(whole)


def _push(
    run: Run, features: dict[str, Tensor], gradients: dict[str, Tensor], losses: dict[str, Tensor], share: float
) -> dict[str, float]:
    """Carry gradients into the weights; the losses of token states with their share of the batch."""
    pairs = [(value, gradients[name].to(value.dtype)) for name, value in features.items() if value.requires_grad]
    pairs += [(loss, run.scaled(torch.tensor(share, device=run.device))) for loss in losses.values()]
    torch.autograd.backward([value for value, _ in pairs], [gradient for _, gradient in pairs])
    return {name: share * loss.item() for name, loss in losses.items()}


def gather(rows: Tensor) -> Tensor:
    """Rows [n, …] of all processes in order, [processes · n, …]; only this process's own carry a gradient."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.detach().contiguous())
    parts[dist.get_rank()] = rows
    return torch.cat(parts)


def named(batch: Batch) -> str:
    """The first rows of a batch, for a message."""
    return f"the batch begins with {', '.join(batch.names[:3])}" if batch.names else "the batch has no names"


def _shared(run: Run, shared: bool):
    """A context in which the gradient is averaged over the processes, or is not yet."""
    return nullcontext() if shared else run.accelerator.no_sync(run.towers)
