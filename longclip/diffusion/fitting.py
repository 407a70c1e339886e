"""A training loop for one part: its state on disk every so often, taken up again to the bit, ended by a signal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset
from tqdm import tqdm

from ..recipes import differences
from ..training.batches import load_batches
from ..training.journal import LOG, forget
from ..training.schedule import schedule, warmup_steps
from ..training.state import load_state, save_state
from ..training.stopping import Interrupted, asked_to_stop

_LOG_EVERY = 20


@dataclass(frozen=True)
class Fit:
    """What one part is trained with, and where. average: decay of the running average of its weights; 0: the last are kept."""

    name: str
    folder: Path
    steps: int
    rate: float
    warmup: float
    save_every: int
    seed: int
    average: float = 0.0
    device: str = "cpu"


def fit(
    plan: Fit,
    module: nn.Module,
    batches: Dataset,
    losses: Callable[[Any, torch.Generator], dict[str, Tensor]],
    workers: int = 1,
    recipe: str = "",
) -> None:
    """Train `module` in place on the sum of `losses`, from wherever its folder stands; it stays on the plan's device.

    losses: of a batch, on that device, and of the randomness of its step (noise and so on, so that a resumed run draws the
    same). `recipe`, a JSON object, is kept with the state. Raises Interrupted after Ctrl-C or SIGTERM (the state is saved),
    ValueError for a folder with the state of another recipe, FloatingPointError for a loss or a gradient that is not finite,
    OSError where a state cannot be written.
    """
    module.to(plan.device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=plan.rate, weight_decay=0.01, betas=(0.9, 0.99))
    averaged = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(plan.average))
    step, seconds = _resume(plan, module, averaged, optimizer, recipe)
    plan.folder.mkdir(parents=True, exist_ok=True)
    forget(plan.folder / LOG, step)
    warmup = warmup_steps(plan.warmup, plan.steps)
    bar = tqdm(total=plan.steps, initial=step, desc=plan.name, mininterval=5)
    with asked_to_stop() as asked, bar, (plan.folder / LOG).open("a", encoding="utf-8") as log:
        loader = load_batches(batches, range(step, plan.steps), workers)
        tick = time.perf_counter()
        for batch in loader:
            module.train()
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * schedule(step, warmup, plan.steps)
            rng = torch.Generator(plan.device).manual_seed(plan.seed * 1_000_003 + step)
            values = losses(_moved(batch, plan.device), rng)
            loss = torch.stack(list(values.values())).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            step += 1
            stop, last = asked(), step == plan.steps
            noted, saved = last or step % _LOG_EVERY == 0, last or stop or step % plan.save_every == 0
            if (noted or saved or plan.device == "cpu") and not (
                loss.isfinite() and norm.isfinite()
            ):  # asking makes a GPU wait
                raise FloatingPointError(
                    f"the loss of {plan.name} is {loss.item()} at step {step}, the norm of its gradient {norm.item()}: a lower "
                    "learning rate may help; its last state is kept"
                )
            optimizer.step()
            if plan.average:
                averaged.update_parameters(module)
            now = time.perf_counter()
            seconds, tick = seconds + now - tick, now
            bar.update()
            if noted:
                row = {name: round(value.item(), 5) for name, value in values.items()}
                log.write(json.dumps({"step": step, "seconds": round(seconds, 1)} | row) + "\n")
                log.flush()
                bar.set_postfix(row, refresh=False)
            if saved:
                state = {"model": module.state_dict(), "average": averaged.state_dict(), "optimizer": optimizer.state_dict()}
                save_state(plan.folder, state | {"step": step, "seconds": seconds, "recipe": recipe}, keep=2)
            if stop and not last:
                raise Interrupted(f"{plan.name} stopped at step {step} of {plan.steps}; the same command goes on from there")
    if plan.average:
        module.load_state_dict(averaged.module.state_dict())
    module.eval().requires_grad_(False)


def _moved(batch: Any, device: str) -> Any:
    """A batch with its tensors on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    return type(batch)(_moved(part, device) for part in batch) if isinstance(batch, (tuple, list)) else batch


def _resume(
    plan: Fit, module: nn.Module, averaged: AveragedModel, optimizer: torch.optim.Optimizer, recipe: str
) -> tuple[int, float]:
    state = load_state(plan.folder)
    if state is None:
        return 0, 0.0
    if state["recipe"] != recipe:
        raise ValueError(
            f"{plan.folder} holds a run of another recipe{_other(state['recipe'], recipe)}; choose another folder, or remove "
            "its state-*.pt"
        )
    module.load_state_dict(state["model"])
    averaged.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["seconds"]


def _other(stored: str, wanted: str) -> str:
    try:
        found = differences(json.loads(stored), json.loads(wanted))
    except (ValueError, AttributeError):  # of an older version, which wrote more than JSON
        found = []
    return f": {'; '.join(found)}" if found else ""
