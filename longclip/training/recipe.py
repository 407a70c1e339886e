"""What to train and how: one frozen dataclass, read from TOML, every field also a flag of `python -m longclip train`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..recipes import (
    LARGEST_SEED,
    OptionError,
    check_kinds,
    check_range,
    check_share_or_count,
    check_shares,
    option,
    read_fields,
)
from .schedule import warmup_steps

RECIPES = Path(__file__).with_name("recipes")
PICTURE_BOOK = "picturebook"
#: Values of the fields that choose between a few.
CHOICES = {
    "objective": ("contrastive", "primary-component", "square"),
    "positions": ("trained", "stretched"),
    "stretch": ("knowledge-preserved", "linear", "none"),
    "captions": ("long", "web"),
    "short": ("first-sentence", "field", "detail", "none"),
    "sentences": ("sample", "all"),
    "basis": ("constant", "differentiated"),
    "components_of": ("batch", "process"),
    "precision": ("fp32", "bf16", "fp16"),
    "decay": ("matrices", "all"),
    "stored": ("fp32", "fp16"),
}
#: Fields that bear on the picture book alone.
OF_THE_PICTURE_BOOK = ("captions", "details", "first_steps", "subjects", "family_share", "family_size")
_SHARES = ("short_details", "summary_drop", "details", "family_share", "distillation", "broken", "last_rate")
_COUNTS = ("family_size", "accumulate", "keep", "save_every", "components")
_FROM_ZERO = (
    *("keep_rows", "first_steps", "subjects", "short_weight", "positive_pairs", "hard_negatives", "word_naming"),
    *("token_states", "steps", "chunk", "weight_decay", "clip_norm", "validate_every", "validate_on"),
)
#: Of held-out pairs that are given as a share, there are never more.
MOST_HELD_OUT = 1000


@dataclass(frozen=True)
class Recipe:
    """A training run. The help of each field says what it is; a loss with weight 0 is not computed.

    The defaults are those of the recipe `long-clip`, with smaller batches. Raises OptionError for a value that is refused.
    """

    name: str = option("longclip", "what the model is called")
    base: str | None = option(None, "name, file or folder of the model to start from; none: random weights of `model`")
    model: dict[str, Any] = field(default_factory=dict)
    """open_clip config of a model that starts from random weights."""
    stretch: str = option("knowledge-preserved", "how 77 text positions become 248; none keeps the base's")
    keep_rows: int = option(20, "leading rows of a stretched table of positions that are never trained")
    positions: str = option("trained", "whether the other rows are trained, or stay as stretching made them")
    logit_scale: float = option(0.0, "logit scale (1 / temperature) to begin with; 0: the base's")

    data: str = option(PICTURE_BOOK, "picturebook, or a data set as FORMAT:PATH or PATH")
    pictures: str | None = option(None, "folder of a data set's pictures, where they do not lie beside it")
    split: str | None = option(None, "part of a data set, as it calls them: train, train+restval, …, all; none: train, or all")
    held_out: float = option(
        0.1, f"pairs at the start of a data set that are kept for validation: a share (at most {MOST_HELD_OUT:,}), or a number"
    )
    broken: float = option(0.05, "largest share of pictures that may be missing or damaged")
    captions: str = option("long", "the picture book's captions: long, or of web-like length")
    details: float = option(0.4, "share of web-like captions that tell more than the subject and the place (picture book)")
    short: str = option("first-sentence", "where the short caption comes from; detail: a few of the other sentences")
    short_details: float = option(0.0, "share of short captions that are a few of the other sentences instead (DeBias-CLIP)")
    summary_drop: float = option(0.0, "share of long captions whose first sentence is left out (DeBias-CLIP)")
    sentences: str = option("all", "whether a long caption keeps all other sentences or a sample of them")
    crop: float = option(1.0, "smallest share of a picture that a random crop keeps; 1 crops nothing")
    first_steps: int = option(0, "steps that begin with pictures of a single thing (picture book, web captions)")
    subjects: int = option(0, "kinds that the subjects of a batch's independent scenes have; 0: any (picture book)")
    family_share: float = option(0.0, "share of a batch in families of one summary, every other one late (picture book)")
    family_size: int = option(8, "scenes in such a family")

    objective: str = option("primary-component", "the loss that matches pictures and captions")
    smoothing: float = option(0.1, "label smoothing")
    components: int = option(32, "principal components that coarse image features keep")
    components_of: str = option("batch", "whether they are those of the whole batch or of each process's share")
    basis: str = option("constant", "whether the gradient passes through the decomposition")
    short_weight: float = option(1.0, "weight of the short captions' term beside the long ones'")
    positive_pairs: float = option(0.0, "weight of the positive-pair regulariser (Chen et al.)")
    hard_negatives: float = option(0.0, "weight of captions with one fact changed, as further choices (TripletCLIP)")
    distillation: float = option(0.0, "share that a model's own predictions reach as targets by the end")
    word_naming: float = option(0.0, "weight of token states that name, by fixed codes, their word and those before it")
    token_states: float = option(0.0, "weight of the distance of token states to another model's, at the positions that it has")
    states_of: str | None = option(None, "whose token states are kept: name, file or folder of a model; none: the base's")

    steps: int = option(0, "optimiser steps; 0: as many as `epochs` gives")
    epochs: float = option(6.0, "passes over a data set, where steps is 0")
    batch: int = option(128, "pairs that are matched with each other, over all processes")
    chunk: int = option(0, "pairs of a process in memory at once; 0: all. The gradient is that of the whole batch")
    accumulate: int = option(1, "batches an optimiser step")
    precision: str = option("fp32", "precision of the forward pass")
    learning_rate: float = option(1e-6, "highest learning rate")
    warmup: float = option(0.1, "what the learning rate rises over: a share of the steps, below 1, or a number of steps")
    last_rate: float = option(0.01, "share of the learning rate that is left at the end")
    weight_decay: float = option(1e-2, "AdamW's")
    decay: str = option("matrices", "what decays: matrices, or all, with norms, biases, positions and the temperature")
    beta2: float = option(0.999, "AdamW's second decay rate")
    clip_norm: float = option(1.0, "largest norm of a gradient, which is scaled down to it; 0: none")
    freeze_vision: int = option(0, "lowest blocks of the vision tower that are not trained; -1: the whole tower")
    freeze_text: int = option(0, "lowest blocks of the text tower that are not trained; -1: all but the positions")
    seed: int = option(0, "seed of weights, order, captions and crops")

    save_every: int = option(100, "steps between two states on disk")
    keep: int = option(2, "states kept")
    stored: str = option("fp32", "precision of the finished model's file")
    validate_every: int = option(0, "steps between two validations; 0: at the end only")
    validate_on: int = option(500, "held-out pairs of a validation; 0: never validate")

    def __post_init__(self) -> None:
        check_kinds(self)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise OptionError(name, f"{getattr(self, name)!r} is unknown; there are {', '.join(choices)}")
        if self.base is None and not self.model:
            raise ValueError("a recipe needs either a base model or a model config to begin with (base, --base)")
        check_range(self, _COUNTS, 1)
        check_range(self, _FROM_ZERO, 0)
        check_range(self, ("freeze_vision", "freeze_text"), -1)
        check_range(self, ("learning_rate", "epochs"), 0, above=True)
        if self.logit_scale and not 1 <= self.logit_scale <= 100:
            raise OptionError("logit_scale", f"is {self.logit_scale}, wanted 1 to 100, or 0 for the base's")
        check_range(self, ("smoothing", "beta2"), 0, 1, below=True)
        check_range(self, ("crop",), 0, 1, above=True)
        check_range(self, ("seed",), 0, LARGEST_SEED)
        check_shares(self, _SHARES)
        check_share_or_count(self, ("warmup",), "the steps")
        check_share_or_count(self, ("held_out",), "the pairs")
        if self.batch < 2:
            raise OptionError("batch", f"is {self.batch}, wanted at least 2: a pair is learned by what tells it from others")
        if self.hard_negatives and self.data != PICTURE_BOOK:
            raise OptionError("hard_negatives", "needs captions with one fact changed, which only the picture book writes")
        for name in ("pictures", "split"):
            if getattr(self, name) and self.data == PICTURE_BOOK:
                raise OptionError(name, "is of a data set, and none is named (data, --data): scenes come from the picture book")
        if self.token_states and self.base is None:
            raise OptionError("token_states", "keeps the states of a base model, and this recipe starts from random weights")
        if self.objective == "primary-component" and self.short == "none":
            raise OptionError(
                "short", "cannot be 'none' where the objective is primary-component, which matches short captions"
            )
        if self.objective == "square" and self.distillation:
            raise OptionError("distillation", "softens the targets of a softmax, and the objective square has none")
        check_components(self)

    @property
    def uses_short(self) -> bool:
        """Whether the short captions are encoded."""
        return self.objective == "primary-component"

    @property
    def detail_share(self) -> float:
        """Share of short captions that are a few of the sentences after the first."""
        return 1.0 if self.short == "detail" else self.short_details

    @property
    def warmup_steps(self) -> int:
        """Steps over which the learning rate rises; of a recipe that has its number of steps."""
        return warmup_steps(self.warmup, self.steps)


def check_components(recipe: Recipe, batch: int = 0, processes: int = 1, reason: str = "") -> None:
    """Raises OptionError where a batch has too few pairs for the principal components that are kept of it.

    batch: pairs of a batch, where they are not the recipe's; `reason` says why, for the message.
    """
    if recipe.objective != "primary-component":
        return
    batch = batch or recipe.batch
    rows = batch // (processes if recipe.components_of == "process" else 1)
    if rows <= recipe.components + 1:
        share = f", {rows:,} on each of {processes} processes" if rows < batch else ""
        fewer = f"at most {rows - 2} components (such as --components {min(16, rows - 2)}), " if rows > 2 else ""
        raise OptionError(
            "batch",
            f"is {recipe.batch:,}{reason}{share}; {rows:,} pairs have at most {rows - 1} principal components, and "
            f"primary-component keeps {recipe.components}: wanted at least {recipe.components + 2} pairs, {fewer}or "
            "--objective contrastive",
        )


def read_recipe(source: str | Path | None = None, **changes: Any) -> Recipe:
    """A recipe from a TOML file, or by the name of one that ships, with `changes` laid over it (None changes nothing).

    Raises ValueError for an unknown name or key, OptionError for a value that is refused.
    """
    return read_fields(Recipe, RECIPES, source, changes)
