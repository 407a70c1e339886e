"""A model in training: weights, optimiser, step, and the devices it runs on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from ..model import LongCLIP
from ..objectives.word_naming import word_codes
from ..preprocessing import Preprocessing, ProcessorPreprocessing
from ..recipes import OptionError, differences
from ..tokens import Tokenizer
from .batches import Batch, Share
from .recipe import Recipe, check_components
from .schedule import schedule
from .start import Start, start_model
from .state import load_state, save_state
from .step import add_gradient
from .towers import Towers, freeze, train_mode

LARGEST_SCALE = math.log(100)
# What may be changed between two parts of one run: it does not bear on the weights.
_FREE = ("save_every", "keep", "validate_every", "validate_on", "stored", "chunk")


class Run:
    """`recipe` in `folder`, from its first step until `resume` finds a later one.

    origin: what it is made from, by the name of the recipe's field, where that may change behind its name.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        model: LongCLIP,
        tokenizer: Tokenizer,
        look: Preprocessing | ProcessorPreprocessing,
        reference: LongCLIP | None = None,
        stretched: bool = False,
        origin: dict[str, str] | None = None,
    ) -> None:
        self.recipe, self.folder, self.tokenizer, self.look = recipe, folder, tokenizer, look
        self.origin = origin or {}
        AcceleratorState._reset_state()  # a process may run recipes of several precisions, one after the other
        try:
            self.accelerator = Accelerator(mixed_precision="no" if recipe.precision == "fp32" else recipe.precision)
        except ValueError as error:
            raise OptionError("precision", f"{recipe.precision} does not work on this machine: {error}") from None
        self.device = self.accelerator.device
        check_components(recipe, processes=self.processes)
        self.step, self.seconds, self.rate = 0, 0.0, 0.0
        self.reading: Tensor | None = None  # how token states are compared, see `step.read_evenly`
        self.codes = word_codes(*model.token_embedding.weight.shape).to(self.device) if recipe.word_naming else None
        self.fixed_rows = freeze(model, recipe, stretched)
        self.model = model
        self.reference = reference.eval().requires_grad_(False).to(self.device) if reference is not None else None
        torch.manual_seed(recipe.seed)  # whatever loading or building the model has drawn
        if recipe.logit_scale:
            model.logit_scale.data.fill_(math.log(recipe.logit_scale))
        towers = Towers(model)
        optimizer = torch.optim.AdamW(_groups(towers, recipe), lr=recipe.learning_rate, betas=(0.9, recipe.beta2))
        self.towers, self.optimizer = self.accelerator.prepare(towers, optimizer)

    @property
    def processes(self) -> int:
        """Processes that share a batch."""
        return self.accelerator.num_processes

    @property
    def share(self) -> Share:
        """This process's part of a batch. Raises ValueError where the batch cannot be divided."""
        share = Share(self.accelerator.process_index, self.processes)
        share.rows(self.recipe.batch)
        return share

    @property
    def main(self) -> bool:
        """Whether this process writes."""
        return self.accelerator.is_main_process

    def pixels(self, images: Tensor) -> Tensor:
        """uint8 pictures [n, 3, height, width] as the model reads them, on its device."""
        mean, std = (torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in (self.look.mean, self.look.std))
        return (images.to(self.device, non_blocking=True).float() / 255 - mean) / std

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss times what fp16 gradients are scaled with."""
        scaler = self.accelerator.scaler
        return loss if scaler is None else scaler.scale(loss)

    def train_mode(self) -> None:
        """The model as it trains."""
        train_mode(self.towers, steady=self.recipe.base is not None)

    def update(self, batches: Iterable[Batch]) -> dict[str, float]:
        """One optimiser step on the mean gradient of `batches`; what `add_gradient` returns for the last of them.

        Raises FloatingPointError for a loss or a gradient that is not finite: the weights are then as they were.
        """
        recipe = self.recipe
        self.rate = recipe.learning_rate * schedule(self.step, recipe.warmup_steps, recipe.steps, recipe.last_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad(set_to_none=True)
        values: dict[str, float] = {}
        for number, batch in enumerate(batches, start=1):
            values = add_gradient(self, batch, number)
        if recipe.accumulate > 1:
            for weights in self.model.parameters():
                if weights.grad is not None:
                    weights.grad /= recipe.accumulate
        self._limit()
        # Decay would take the leading rows along, gradient or not.
        fixed = self.model.positional_embedding.detach()[: self.fixed_rows].clone()
        self.optimizer.step()
        with torch.no_grad():
            self.model.positional_embedding[: self.fixed_rows] = fixed
            self.model.logit_scale.clamp_(0, LARGEST_SCALE)
        self.step += 1
        return values

    def _limit(self) -> None:
        """Scale the gradient down to the recipe's norm. Raises FloatingPointError where it is not finite."""
        parameters = [weights for weights in self.towers.parameters() if weights.grad is not None]
        if self.recipe.clip_norm:
            norm = self.accelerator.clip_grad_norm_(parameters, self.recipe.clip_norm)
        else:
            norm = torch.nn.utils.get_total_norm([weights.grad for weights in parameters])
        # A scaler leaves such a step out and lowers its scale.
        if self.accelerator.scaler is None and not torch.isfinite(norm):
            raise FloatingPointError(
                f"the gradient's norm is {norm.item()} at step {self.step} (learning rate {self.rate:.2e}): a lower "
                "learning_rate may help; the states on disk are untouched"
            )

    def resume(self) -> bool:
        """Take up the newest state in the folder, where there is one.

        Raises ValueError where that state belongs to another recipe or to other data, or cannot be read.
        """
        state = load_state(self.folder)
        if state is None:
            return False
        differing = _differences(json.loads(state["recipe"]), asdict(self.recipe))
        # A base that may still change, and the picture book, have no name of this kind.
        origin = {name: value for name, value in self.origin.items() if value}
        differing += differences({name: value for name, value in state.get("origin", {}).items() if value}, origin)
        if differing:
            raise ValueError(
                f"{self.folder} holds a run of another recipe: {'; '.join(differing)}. Choose another folder (--out), or "
                "remove its state-*.pt"
            )
        set_state_dict(
            self.towers,
            self.optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=StateDictOptions(full_state_dict=True),
        )
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds = state["step"], state["seconds"]
        return True

    def save(self) -> None:
        """Write the state; every process must call this, the first one writes."""
        # Gathered whole, so that a run can go on with another number of processes.
        model, optimizer = get_state_dict(
            self.towers, self.optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
        )
        if self.main:
            state = {
                "recipe": json.dumps(asdict(self.recipe)),
                "model": model,
                "optimizer": optimizer,
                "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {},
                "step": self.step,
                "seconds": self.seconds,
                "origin": self.origin,
            }
            save_state(self.folder, state, self.recipe.keep)
        self.accelerator.wait_for_everyone()


def start(recipe: Recipe, folder: Path) -> Run:
    """The run of a recipe at its first step: from its base, stretched where that is shorter, or from random weights.

    Raises ValueError for a base that cannot be trained as the recipe wants.
    """
    torch.manual_seed(recipe.seed)
    begun: Start = start_model(recipe)
    return Run(
        recipe, folder, begun.model, begun.tokenizer, begun.preprocessing, begun.reference, begun.stretched, begun.origin
    )


def _groups(towers: Towers, recipe: Recipe) -> list[dict]:
    """The optimiser's groups: what decays, and what does not."""
    trained = [(name, weights) for name, weights in towers.named_parameters() if weights.requires_grad]
    # Norms, biases, tables of positions and the temperature are not pulled towards zero, if the recipe does not say so.
    decayed = [w for name, w in trained if recipe.decay == "all" or w.ndim >= 2 and "positional" not in name]
    known = {id(weights) for weights in decayed}
    kept = [weights for _, weights in trained if id(weights) not in known]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _differences(stored: dict, wanted: dict) -> list[str]:
    """In what two recipes differ. A field that the stored one does not know had the default."""
    defaults = {entry.name: entry.default for entry in fields(Recipe)}
    return differences(defaults | stored, {name: value for name, value in wanted.items() if name not in _FREE})
