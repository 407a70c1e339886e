"""What to train and how: one frozen dataclass, read from TOML, every field also a flag of `python -m longclip train`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..recipes import check_counts, check_kinds, check_shares, option, read_fields

RECIPES = Path(__file__).with_name("recipes")
PICTURE_BOOK = "picturebook"
#: Values of the fields that choose between a few.
CHOICES = {
    "objective": ("contrastive", "primary-component", "square"),
    "positions": ("trained", "stretched"),
    "stretch": ("knowledge-preserved", "linear", "none"),
    "captions": ("long", "web"),
    "short": ("first-sentence", "field", "none"),
    "sentences": ("sample", "all"),
    "basis": ("constant", "differentiated"),
    "components_of": ("batch", "process"),
    "precision": ("fp32", "bf16", "fp16"),
    "stored": ("fp32", "fp16"),
}
_SHARES = ("smoothing", "short_details", "summary_drop", "details", "family_share", "distillation", "broken")
_COUNTS = ("batch", "family_size", "accumulate", "keep", "save_every")


@dataclass(frozen=True)
class Recipe:
    """A training run. The help of each field says what it is; a loss with weight 0 is not computed."""

    name: str = option("longclip", "what the model is called")
    base: str | None = option(None, "name, file or folder of the model to start from; none: random weights of `model`")
    model: dict[str, Any] = field(default_factory=dict)
    """open_clip config of a model that starts from random weights."""
    stretch: str = option("knowledge-preserved", "how 77 text positions become 248; none keeps the base's")
    keep_rows: int = option(20, "leading rows of a stretched table of positions that are never trained")
    positions: str = option("trained", "whether the other rows are trained, or stay as stretching made them")

    data: str = option(PICTURE_BOOK, "picturebook, or a data set as FORMAT:PATH or PATH")
    pictures: str | None = option(None, "folder of a data set's pictures, where they do not lie beside it")
    held_out: int = option(1000, "pairs at the start of a data set that are kept for validation")
    broken: float = option(0.05, "largest share of pictures that may be missing or damaged")
    captions: str = option("long", "the picture book's captions: long, or of web-like length")
    details: float = option(0.4, "share of web-like captions that tell more than the subject and the place (picture book)")
    short: str = option("first-sentence", "where the short caption comes from")
    short_details: float = option(0.0, "share of short captions that are a few of the other sentences instead (DeBias-CLIP)")
    summary_drop: float = option(0.7, "share of long captions whose first sentence is left out (DeBias-CLIP)")
    sentences: str = option("sample", "whether a long caption keeps all other sentences or a sample of them")
    crop: float = option(0.9, "smallest share of a picture that a random crop keeps; 1 crops nothing")
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
    epochs: float = option(1.0, "passes over a data set, where steps is 0")
    batch: int = option(128, "pairs that are matched with each other, over all processes")
    chunk: int = option(0, "pairs of a process in memory at once; 0: all. The gradient is that of the whole batch")
    accumulate: int = option(1, "batches an optimiser step")
    precision: str = option("fp32", "precision of the forward pass")
    learning_rate: float = option(1e-3, "highest learning rate, fallen to a hundredth at the end")
    warmup: int = option(200, "steps over which the learning rate rises")
    weight_decay: float = option(0.05, "AdamW's, on matrices only")
    beta2: float = option(0.98, "AdamW's second decay rate")
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
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; there are {', '.join(choices)}")
        if self.base is None and not self.model:
            raise ValueError("a recipe needs either a base model or a model config to begin with")
        check_counts(self, _COUNTS)
        check_shares(self, _SHARES)
        if self.hard_negatives and self.data != PICTURE_BOOK:
            raise ValueError("hard_negatives needs captions with one fact changed, which only the picture book writes")
        if self.token_states and self.base is None:
            raise ValueError("token_states keeps the states of a base model, and this recipe starts from random weights")
        if self.objective == "primary-component" and self.short == "none":
            raise ValueError("primary-component matches short captions too: short cannot be 'none'")

    @property
    def uses_short(self) -> bool:
        """Whether the short captions are encoded."""
        return self.objective == "primary-component"


def read_recipe(source: str | Path | None = None, **changes: Any) -> Recipe:
    """A recipe from a TOML file, or by the name of one that ships, with `changes` laid over it (None changes nothing).

    Raises ValueError for an unknown name or key.
    """
    return read_fields(Recipe, RECIPES, source, changes)
