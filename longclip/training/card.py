"""The model card beside trained weights: what it was made from, how, and what it reaches."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..checkpoints.checkpoint import checkpoint_of
from ..checkpoints.folder import write as write_folder
from .recipe import PICTURE_BOOK, Recipe

if TYPE_CHECKING:
    from .preview import Preview
    from .run import Run

RECIPE, CARD = "recipe.json", "README.md"


def check_folder(folder: Path) -> None:
    """Raises ValueError for a folder that holds what a run would write over: a model, or another card."""
    held = [name for name in (CARD, RECIPE, "open_clip_config.json", "tokenizer.json") if (folder / name).exists()]
    held += sorted(path.name for path in folder.glob("*.safetensors"))
    if held:
        raise ValueError(
            f"{folder} holds {', '.join(held)} and no state of a run to go on from; a run would write over them: choose "
            "another folder (--out)"
        )


def is_finished(folder: Path) -> bool:
    """Whether a run has written its model here."""
    return (folder / CARD).is_file() and (folder / RECIPE).is_file()


def write_model(
    run: Run, command: str, figures: dict[str, float], data: str, ahead: Preview | None = None, measured: int = 0
) -> None:
    """The model folder: weights in the recipe's precision, tokenizer, recipe and card.

    ahead: what was said before the run, for the card; measured: held-out pairs behind the figures. Raises
    FloatingPointError where a weight is not finite: nothing is written then.
    """
    look, recipe = run.look, run.recipe
    broken = [name for name, weights in run.model.named_parameters() if not torch.isfinite(weights).all()]
    if broken:
        raise FloatingPointError(f"after step {run.step}, {broken[0]} is not finite: a lower learning_rate may help")
    write_folder(checkpoint_of(run.model, look).cast(recipe.stored), run.folder)
    run.tokenizer.save(run.folder)
    made = {
        "command": command,
        "recipe": asdict(recipe),
        "scenes" if recipe.data == PICTURE_BOOK else "pairs": run.step * recipe.batch * recipe.accumulate,
        "minutes": round(run.seconds / 60, 1),
        "machine": _machine(run),
        "validation": figures,
    }
    (run.folder / RECIPE).write_text(json.dumps(made, indent=2) + "\n", "utf-8")
    (run.folder / CARD).write_text(describe(run, command, figures, data, ahead, measured), "utf-8")


def describe(
    run: Run, command: str, figures: dict[str, float], data: str, ahead: Preview | None = None, measured: int = 0
) -> str:
    """The card's Markdown."""
    recipe, model = run.recipe, run.model
    made_from = f"`{recipe.base}`" if recipe.base else "random weights"
    lines = [
        "---",
        "library_name: open_clip",
        "pipeline_tag: zero-shot-image-classification",
        "tags: [clip, long-clip]" if model.context_length > 77 else "tags: [clip]",
        "---",
        "",
        f"# {recipe.name}",
        "",
        f"Reads {model.context_length} tokens. Made from {made_from} with `longclip`, on {data}:",
        f"{run.step:,} steps of {recipe.batch * recipe.accumulate} pairs, {run.seconds / 60:.1f} minutes ({_machine(run)}).",
        "",
        *_said(ahead),
        "```python",
        "import longclip",
        "",
        'encoder = longclip.load("FOLDER")  # this folder',
        'encoder.encode_text(["…"])',
        "```",
        "",
    ]
    if figures:
        lines += [f"On {measured:,} held-out pairs, percent:", "", "| figure | |", "| --- | --- |"]
        lines += [f"| {name} | {value:g} |" for name, value in figures.items()] + [""]
    changed = [entry.name for entry in fields(Recipe) if getattr(recipe, entry.name) != entry.default and entry.name != "model"]
    lines += ["What differs from the defaults (all of it is in `recipe.json`):", "", "```toml"]
    lines += [f"{name} = {json.dumps(getattr(recipe, name))}" for name in changed] + ["```", ""]
    if command:
        lines += ["```sh", command, "```", ""]
    return "\n".join(lines)


def _said(ahead: Preview | None) -> list[str]:
    """What was said before the run, as a list."""
    if ahead is None:
        return []
    return ["What was said before it started:", "", *(f"- {line}" for line in ahead.lines()), ""]


def _machine(run: Run) -> str:
    device = torch.cuda.get_device_name() if run.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    many = f"{run.processes} processes, " if run.processes > 1 else ""
    return f"{platform.machine()}, {many}{device}, torch {torch.__version__.split('+')[0]}"
