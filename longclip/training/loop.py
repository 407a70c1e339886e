"""The training loop: one process, resumable, from a recipe to a model folder."""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..checkpoints.checkpoint import checkpoint_of
from ..checkpoints.folder import write as write_folder
from ..encoder import load
from ..images import Preprocessing
from ..model import LongCLIP, build_model, stretch_model
from ..objectives.contrastive import contrastive_loss
from ..objectives.primary_component import primary_component_losses
from ..picturebook.words import all_texts, training_texts
from ..tokens import Tokenizer
from ..vocabulary import distinct_words, reduce_vocabulary
from .batches import Batch, PictureBookBatches
from .recipe import Recipe
from .state import load_state, save_state

KEEP = 20  # position rows that Long-CLIP never trains
LONG_CONTEXT = 248
LARGEST_SCALE = math.log(100)


class Run:
    """A model in training: weights, optimiser and step, saved to and resumed from `folder`."""

    def __init__(
        self, recipe: Recipe, folder: Path, model: LongCLIP, tokenizer: Tokenizer, preprocessing: Preprocessing
    ) -> None:
        self.recipe, self.folder, self.model, self.tokenizer = recipe, folder, model, tokenizer
        self.preprocessing = preprocessing
        self.step, self.seconds = 0, 0.0
        if recipe.long:
            freeze_rows(model.positional_embedding, KEEP)
        # Norms, biases, tables of positions and the temperature are not pulled towards zero.
        decayed = [p for n, p in model.named_parameters() if p.ndim >= 2 and "positional" not in n]
        kept = [p for n, p in model.named_parameters() if p.ndim < 2 or "positional" in n]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))

    def resume(self) -> bool:
        """Take up the state in the folder, where there is one.

        Raises ValueError where that state belongs to another recipe.
        """
        state = load_state(self.folder)
        if state is None:
            return False
        if state["recipe"] != json.dumps(asdict(self.recipe)):
            raise ValueError(f"{self.folder} holds a run of another recipe; choose another folder, or remove its state.pt")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        return True

    def save(self) -> None:
        state = {
            "recipe": json.dumps(asdict(self.recipe)),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        save_state(self.folder, state)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of the objective for a batch; their sum is the loss."""
        recipe = self.recipe
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.preprocessing.mean, self.preprocessing.std))
        pixels = (batch.images.float() / 255 - mean) / std
        image = self.model.encode_image(pixels, normalize=True)
        scale = self.model.logit_scale.exp()
        if recipe.objective == "contrastive":
            text = self.model.encode_text(self.tokenizer.batch(batch.long), normalize=True)
            return {"contrastive": contrastive_loss(image, text, scale, recipe.smoothing)}
        texts = self.model.encode_text(self.tokenizer.batch(batch.long + batch.short), normalize=True)
        long, short = texts.split(len(batch.long))
        losses = primary_component_losses(image, long, short, scale, recipe.components, recipe.smoothing)
        return {"long": losses["long"], "short": recipe.short_weight * losses["short"]}

    def update(self, batch: Batch) -> dict[str, float]:
        """One optimiser step. Raises FloatingPointError, naming the step, where the loss is not finite."""
        rate = self.recipe.learning_rate * schedule(self.step, self.recipe.warmup, self.recipe.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self.losses(batch)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"the loss is {total.item()} at step {self.step}; the last saved state is untouched")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, LARGEST_SCALE)
        self.step += 1
        return {name: loss.item() for name, loss in losses.items()}


def schedule(step: int, warmup: int, steps: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine down to one hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2


def freeze_rows(table: torch.nn.Parameter, rows: int) -> None:
    """Keep the first `rows` of a table as they are: their gradient is zero, which AdamW without decay leaves in place."""
    mask = torch.ones(len(table), 1)
    mask[:rows] = 0
    table.register_hook(lambda gradient: gradient * mask.to(gradient))


def start(recipe: Recipe, folder: Path) -> Run:
    """The run of a recipe at its first step: from its base, stretched where that is shorter, or from random weights."""
    torch.manual_seed(recipe.seed)
    if recipe.base is not None:
        base = load(recipe.base)
        model = base.model.requires_grad_(True)
        if recipe.long and base.context_length < LONG_CONTEXT:
            model = stretch_model(model, KEEP)
        return Run(recipe, folder, model, base.tokenizer.with_length(model.context_length), base.preprocessing)
    vocab, merges = reduce_vocabulary(all_texts())
    text = recipe.model["text_cfg"] | {"vocab_size": len(vocab), "hf_tokenizer_name": recipe.name}
    model = build_model({**recipe.model, "text_cfg": text})
    tokenizer = Tokenizer(vocab, merges, model.context_length, distinct_words(training_texts()))
    return Run(recipe, folder, model, tokenizer, Preprocessing.from_config(model.visual.image_size))


def train(recipe: Recipe, folder: Path, workers: int = 1, save_every: int = 100, command: str = "") -> Path:
    """Run a recipe to its end, from wherever `folder` stands, and write the model into it. Returns the folder.

    The loss of every tenth step goes to `log.jsonl`, the state to `state.pt` every `save_every` steps.
    """
    run = start(recipe, folder)
    resumed = run.resume()
    if not resumed:
        run.save()
    size = run.model.visual.image_size[0]
    steps = range(run.step, recipe.steps)
    # The workers draw one batch each, ahead of the model; a batch depends on its number alone.
    loader = DataLoader(
        PictureBookBatches(recipe, size), None, sampler=steps, num_workers=workers, prefetch_factor=4 if workers else None
    )
    run.model.train()
    tick = time.perf_counter()
    with (
        tqdm(total=recipe.steps, initial=run.step, desc=recipe.name, mininterval=5) as bar,
        (folder / "log.jsonl").open("a") as log,
    ):
        for batch in loader:
            losses = run.update(batch)
            now = time.perf_counter()
            run.seconds, tick = run.seconds + now - tick, now
            bar.update()
            if run.step % 10 == 0:
                bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()})
                log.write(json.dumps({"step": run.step, "seconds": round(run.seconds, 1)} | losses) + "\n")
                log.flush()
            if run.step % save_every == 0 or run.step == recipe.steps:
                run.save()
    write_model(run, command)
    return folder


def write_model(run: Run, command: str) -> None:
    """The model folder, in half precision, with the recipe that made it."""
    look = run.preprocessing
    preprocess = {"mean": look.mean, "std": look.std, "interpolation": look.interpolation, "resize_mode": look.mode}
    write_folder(checkpoint_of(run.model, preprocess).cast("fp16"), run.folder)
    run.tokenizer.save(run.folder)
    made = {
        "command": command,
        "recipe": asdict(run.recipe),
        "scenes": run.step * run.recipe.batch,
        "minutes": round(run.seconds / 60, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__.split('+')[0]}",
    }
    (run.folder / "recipe.json").write_text(json.dumps(made, indent=2) + "\n", "utf-8")
