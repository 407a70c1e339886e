"""A model in training: weights, optimiser, step, and the devices it runs on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from ..encoder import load
from ..images import Preprocessing
from ..model import LongCLIP, build_model, with_positions
from ..objectives.word_naming import word_codes
from ..picturebook.words import all_texts, training_texts
from ..positions import interpolate_positions, stretch_positions
from ..tokens import Tokenizer
from ..vocabulary import distinct_words, reduce_vocabulary
from .batches import Batch, Share
from .recipe import PICTURE_BOOK, Recipe
from .state import load_state, save_state
from .step import add_gradient
from .towers import Towers, freeze

LONG_CONTEXT = 248
LARGEST_SCALE = math.log(100)
# What may be changed between two parts of one run: it does not bear on the weights.
_FREE = ("save_every", "keep", "validate_every", "validate_on", "stored", "chunk")


class Run:
    """`recipe` in `folder`, from its first step until `resume` finds a later one."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        model: LongCLIP,
        tokenizer: Tokenizer,
        look: Preprocessing,
        reference: LongCLIP | None = None,
    ) -> None:
        self.recipe, self.folder, self.tokenizer, self.look = recipe, folder, tokenizer, look
        AcceleratorState._reset_state()  # a process may run recipes of several precisions, one after the other
        self.accelerator = Accelerator(mixed_precision="no" if recipe.precision == "fp32" else recipe.precision)
        self.device = self.accelerator.device
        self.step, self.seconds, self.rate = 0, 0.0, 0.0
        self.reading: Tensor | None = None  # how token states are compared, see `step.read_evenly`
        self.codes = word_codes(*model.token_embedding.weight.shape).to(self.device) if recipe.word_naming else None
        freeze(model, recipe)
        self.model = model
        self.reference = reference.eval().requires_grad_(False).to(self.device) if reference is not None else None
        torch.manual_seed(recipe.seed)  # whatever loading or building the model has drawn
        towers = Towers(model)
        trained = [(name, weights) for name, weights in towers.named_parameters() if weights.requires_grad]
        # Norms, biases, tables of positions and the temperature are not pulled towards zero.
        decayed = [weights for name, weights in trained if weights.ndim >= 2 and "positional" not in name]
        kept = [weights for name, weights in trained if weights.ndim < 2 or "positional" in name]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2))
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

    def update(self, batches: Iterable[Batch]) -> dict[str, float]:
        """One optimiser step on the mean gradient of `batches`; what `add_gradient` returns for the last of them."""
        recipe = self.recipe
        self.rate = recipe.learning_rate * schedule(self.step, recipe.warmup, recipe.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad(set_to_none=True)
        values: dict[str, float] = {}
        for number, batch in enumerate(batches, start=1):
            values = add_gradient(self, batch, last=number == recipe.accumulate)
        if recipe.accumulate > 1:
            for weights in self.model.parameters():
                if weights.grad is not None:
                    weights.grad /= recipe.accumulate
        self.accelerator.clip_grad_norm_(self.towers.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, LARGEST_SCALE)
        self.step += 1
        return values

    def resume(self) -> bool:
        """Take up the newest state in the folder, where there is one.

        Raises ValueError where that state belongs to another recipe, or cannot be read.
        """
        state = load_state(self.folder)
        if state is None:
            return False
        differing = _differences(json.loads(state["recipe"]), asdict(self.recipe))
        if differing:
            raise ValueError(
                f"{self.folder} holds a run of another recipe (it differs in {', '.join(differing)}); choose another "
                "folder, or remove its state-*.pt"
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
            }
            save_state(self.folder, state, self.recipe.keep)
        self.accelerator.wait_for_everyone()


def start(recipe: Recipe, folder: Path) -> Run:
    """The run of a recipe at its first step: from its base, stretched where that is shorter, or from random weights."""
    torch.manual_seed(recipe.seed)
    if recipe.base is None:
        return Run(recipe, folder, *_random_model(recipe))
    encoder = load(recipe.base)
    model = _stretched(encoder.model, recipe)
    tokenizer = encoder.tokenizer.with_length(model.context_length)
    reference = _reference(recipe, model) if recipe.token_states else None
    return Run(recipe, folder, model, tokenizer, encoder.preprocessing, reference)


def _stretched(model: LongCLIP, recipe: Recipe) -> LongCLIP:
    """The model with 248 text positions, where the recipe wants them and it has fewer."""
    if recipe.stretch == "none" or model.context_length >= LONG_CONTEXT:
        return model
    table = model.positional_embedding.detach()
    known = recipe.stretch == "knowledge-preserved"
    table = stretch_positions(table, recipe.keep_rows) if known else interpolate_positions(table, LONG_CONTEXT)
    return with_positions(model, table)


def _reference(recipe: Recipe, model: LongCLIP) -> LongCLIP:
    """The model whose token states are kept, at the positions that it has. Raises ValueError where it does not fit."""
    source = recipe.states_of or recipe.base
    reference = load(source).model
    theirs, ours = (list(each.token_embedding.weight.shape) for each in (reference, model))
    if theirs != ours:
        raise ValueError(f"states_of {source} has {theirs} as token embeddings; wanted {ours}, as the model that is trained")
    return reference


def schedule(step: int, warmup: int, steps: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine down to one hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2


def _random_model(recipe: Recipe) -> tuple[LongCLIP, Tokenizer, Preprocessing]:
    text = recipe.model["text_cfg"]
    if recipe.data == PICTURE_BOOK:
        vocab, merges = reduce_vocabulary(all_texts())
        text = text | {"vocab_size": len(vocab), "hf_tokenizer_name": recipe.name}
        model = build_model({**recipe.model, "text_cfg": text})
        tokenizer = Tokenizer(vocab, merges, model.context_length, distinct_words(training_texts()))
    else:
        model = build_model(recipe.model)
        tokenizer = Tokenizer.full(model.context_length)
    return model, tokenizer, Preprocessing.from_config(model.visual.image_size)


def _differences(stored: dict, wanted: dict) -> list[str]:
    names = [name for name in stored.keys() | wanted.keys() if name not in _FREE]
    return sorted(name for name in names if stored.get(name) != wanted.get(name))
