"""What to train and how: one frozen dataclass, read from TOML, every field also a flag of `python -m longclip train`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).with_name("recipes")
PICTURE_BOOK = "picturebook"
#: Values of the fields that choose between a few.
CHOICES = {
    "objective": ("contrastive", "primary-component", "square"),
    "stretch": ("knowledge-preserved", "linear", "none"),
    "captions": ("long", "web"),
    "short": ("first-sentence", "field", "none"),
    "sentences": ("sample", "all"),
    "basis": ("constant", "differentiated"),
    "components_of": ("batch", "process"),
    "precision": ("fp32", "bf16", "fp16"),
    "stored": ("fp32", "fp16"),
}
_KINDS = {int: "a whole number", float: "a number", str: "a text"}
_SHARES = ("smoothing", "short_details", "summary_drop", "details", "family_share", "distillation", "broken")
_COUNTS = ("batch", "family_size", "accumulate", "keep", "save_every")


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Recipe:
    """A training run. The help of each field says what it is; a loss with weight 0 is not computed."""

    name: str = _option("longclip", "what the model is called")
    base: str | None = _option(None, "name, file or folder of the model to start from; none: random weights of `model`")
    model: dict[str, Any] = field(default_factory=dict)
    """open_clip config of a model that starts from random weights."""
    stretch: str = _option("knowledge-preserved", "how 77 text positions become 248; none keeps the base's")
    keep_rows: int = _option(20, "leading rows of a stretched table of positions that are never trained")

    data: str = _option(PICTURE_BOOK, "picturebook, or a data set as FORMAT:PATH or PATH")
    pictures: str | None = _option(None, "folder of a data set's pictures, where they do not lie beside it")
    held_out: int = _option(1000, "pairs at the start of a data set that are kept for validation")
    broken: float = _option(0.05, "largest share of pictures that may be missing or damaged")
    captions: str = _option("long", "the picture book's captions: long, or of web-like length")
    details: float = _option(0.4, "share of web-like captions that tell more than the subject and the place (picture book)")
    short: str = _option("first-sentence", "where the short caption comes from")
    short_details: float = _option(0.0, "share of short captions that are a few of the other sentences instead (DeBias-CLIP)")
    summary_drop: float = _option(0.7, "share of long captions whose first sentence is left out (DeBias-CLIP)")
    sentences: str = _option("sample", "whether a long caption keeps all other sentences or a sample of them")
    crop: float = _option(0.9, "smallest share of a picture that a random crop keeps; 1 crops nothing")
    first_steps: int = _option(0, "steps that begin with pictures of a single thing (picture book, web captions)")
    subjects: int = _option(0, "kinds that the subjects of a batch's independent scenes have; 0: any (picture book)")
    family_share: float = _option(0.0, "share of a batch in families of one summary, every other one late (picture book)")
    family_size: int = _option(8, "scenes in such a family")

    objective: str = _option("primary-component", "the loss that matches pictures and captions")
    smoothing: float = _option(0.1, "label smoothing")
    components: int = _option(32, "principal components that coarse image features keep")
    components_of: str = _option("batch", "whether they are those of the whole batch or of each process's share")
    basis: str = _option("constant", "whether the gradient passes through the decomposition")
    short_weight: float = _option(1.0, "weight of the short captions' term beside the long ones'")
    positive_pairs: float = _option(0.0, "weight of the positive-pair regulariser (Chen et al.)")
    hard_negatives: float = _option(0.0, "weight of captions with one fact changed, as further choices (TripletCLIP)")
    distillation: float = _option(0.0, "share that a model's own predictions reach as targets by the end")
    token_states: float = _option(0.0, "weight of the distance of token states on short captions to the base's")

    steps: int = _option(0, "optimiser steps; 0: as many as `epochs` gives")
    epochs: float = _option(1.0, "passes over a data set, where steps is 0")
    batch: int = _option(128, "pairs that are matched with each other, over all processes")
    chunk: int = _option(0, "pairs of a process in memory at once; 0: all. The gradient is that of the whole batch")
    accumulate: int = _option(1, "batches an optimiser step")
    precision: str = _option("fp32", "precision of the forward pass")
    learning_rate: float = _option(1e-3, "highest learning rate, fallen to a hundredth at the end")
    warmup: int = _option(200, "steps over which the learning rate rises")
    weight_decay: float = _option(0.05, "AdamW's, on matrices only")
    beta2: float = _option(0.98, "AdamW's second decay rate")
    freeze_vision: int = _option(0, "lowest blocks of the vision tower that are not trained; -1: the whole tower")
    freeze_text: int = _option(0, "lowest blocks of the text tower that are not trained; -1: all but the positions")
    seed: int = _option(0, "seed of weights, order, captions and crops")

    save_every: int = _option(100, "steps between two states on disk")
    keep: int = _option(2, "states kept")
    stored: str = _option("fp32", "precision of the finished model's file")
    validate_every: int = _option(0, "steps between two validations; 0: at the end only")
    validate_on: int = _option(500, "held-out pairs of a validation; 0: never validate")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, wanted = getattr(self, entry.name), type(entry.default)
            if wanted in (int, float, str) and (not isinstance(value, (int, wanted)) or isinstance(value, bool)):
                raise ValueError(f"{entry.name} is {value!r}, wanted {_KINDS[wanted]}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; there are {', '.join(choices)}")
        if self.base is None and not self.model:
            raise ValueError("a recipe needs either a base model or a model config to begin with")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted at least 1")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted a share between 0 and 1")
        if self.hard_negatives and self.data != PICTURE_BOOK:
            raise ValueError("hard_negatives needs captions with one fact changed, which only the picture book writes")
        if self.token_states and self.base is None:
            raise ValueError("token_states keeps the states of a base model, and this recipe starts from random weights")
        if self.objective == "primary-component" and self.short == "none":
            raise ValueError("primary-component matches short captions too: short cannot be 'none'")

    @property
    def uses_short(self) -> bool:
        """Whether the short captions are encoded."""
        return self.objective == "primary-component" or self.token_states > 0


def read_recipe(source: str | Path | None = None, **changes: Any) -> Recipe:
    """A recipe from a TOML file, or by the name of one that ships, with `changes` laid over it (None changes nothing).

    Raises ValueError for an unknown name or key.
    """
    values = read_values(source, RECIPES, Recipe) if source is not None else {}
    return Recipe(**values | {name: value for name, value in changes.items() if value is not None})


def read_values(source: str | Path, recipes: Path, kind: type) -> dict[str, Any]:
    """What a TOML file says, by its path or by its name in the folder `recipes`; `kind` is the dataclass that it fills.

    Raises ValueError for an unknown name or key, and for what is no TOML.
    """
    path = recipes / f"{source}.toml"
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in recipes.glob("*.toml")))
        raise ValueError(f"there is no recipe {str(source)!r}: wanted a TOML file, or one of {known}")
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    unknown = sorted(set(values) - {entry.name for entry in fields(kind)})
    if unknown:
        raise ValueError(f"{path.name} has {', '.join(unknown)}, which a recipe does not know: probably a typo")
    return values
