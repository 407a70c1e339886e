"""What to train and how: one frozen dataclass, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).with_name("recipes")
OBJECTIVES = ("contrastive", "primary-component")


@dataclass(frozen=True)
class Recipe:
    """A training run.

    name: what the model is called. objective: one of `OBJECTIVES`. base: the model to start from (a name or a folder);
    None begins with random weights of the open_clip config `model`. steps, batch: optimiser steps, scenes a step.
    learning_rate: rises over `warmup` steps, then falls along a cosine to a hundredth.
    first_steps: steps of pre-training that begin with pictures of a single thing. subjects: of how many kinds the subjects
    of a batch's independent scenes are (0: of any).
    components: principal components that coarse image features keep. short_weight: weight of the short captions' term
    beside the long ones'. summary_drop: share of long captions whose summary is left out. family_share, family_size: share
    of a batch that stands in families of scenes with one summary, half of which differ only beyond the 77th token.
    """

    name: str
    objective: str
    steps: int
    base: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 200
    seed: int = 0
    smoothing: float = 0.0
    components: int = 32
    short_weight: float = 1.0
    first_steps: int = 0
    subjects: int = 0
    summary_drop: float = 0.7
    family_share: float = 0.0
    family_size: int = 8

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective {self.objective!r} is unknown; there are {', '.join(OBJECTIVES)}")
        if self.base is None and not self.model:
            raise ValueError("a recipe needs either a base model or a model config to begin with")
        for name in ("steps", "batch", "family_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted at least 1")
        for name in ("smoothing", "summary_drop", "family_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted a share between 0 and 1")

    @property
    def long(self) -> bool:
        """Whether the model is to read long captions: it is stretched, and the first rows of its positions are kept."""
        return self.objective == "primary-component"


def read_recipe(source: str | Path, **changes: Any) -> Recipe:
    """A recipe from a TOML file, or by the name of one that ships, with `changes` laid over it (None changes nothing).

    Raises ValueError for an unknown name or key.
    """
    path = RECIPES / f"{source}.toml"
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise ValueError(f"there is no recipe {str(source)!r}: wanted a TOML file, or one of {known}")
    values = tomllib.loads(path.read_text("utf-8"))
    unknown = sorted(set(values) - {entry.name for entry in fields(Recipe)})
    if unknown:
        raise ValueError(f"{path.name} has {', '.join(unknown)}, which a recipe does not know: probably a typo")
    return replace(Recipe(**values), **{name: value for name, value in changes.items() if value is not None})
