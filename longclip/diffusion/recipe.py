"""How the embedded pipeline is made: one frozen dataclass, read from TOML, every field also a flag of `train-diffusion`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..training.recipe import read_values

RECIPES = Path(__file__).with_name("recipes")
DEFAULT = "picturebook-diffusion"


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class DiffusionRecipe:
    """The parts of the pipeline, and the training of each."""

    name: str = _option(DEFAULT, "what the pipeline is called")
    encoder: str = _option("picturebook-clip", "the text encoder that the U-Net learns to read, frozen")
    size: int = _option(64, "pixels a side")
    seed: int = _option(0, "seed of weights, scenes, captions and noise")

    channels: int = _option(16, "channels of the latents, at an eighth of the picture's side")
    autoencoder_width: int = _option(16, "channels of the autoencoder's first level; 2, 4 and 8 times that further down")
    autoencoder_steps: int = _option(4000, "steps of the autoencoder")
    autoencoder_batch: int = _option(32, "scenes a step of the autoencoder")
    autoencoder_rate: float = _option(1e-3, "the autoencoder's highest learning rate")
    divergence: float = _option(1e-3, "weight of the latents' divergence from a normal distribution")

    scenes: int = _option(100_000, "scenes whose latents the U-Net learns from, again and again, with ever new captions")
    width: int = _option(96, "channels of the U-Net's first level")
    deeper_width: int = _option(160, "channels of its second level")
    layers: int = _option(2, "blocks a level")
    head_width: int = _option(32, "channels of an attention head")
    steps: int = _option(5000, "steps of the U-Net")
    batch: int = _option(64, "scenes a step of the U-Net")
    learning_rate: float = _option(5e-4, "the U-Net's highest learning rate")
    unsaid: float = _option(0.1, "share of captions that are left out, for guidance without a prompt")
    summary_drop: float = _option(0.5, "share of long captions that begin with a detail in place of the summary")
    short: float = _option(0.2, "share of captions of web-like length")
    average: float = _option(0.999, "decay of the running average of the U-Net's weights, which is what ships")

    detector_width: int = _option(48, "channels of the detector's first level; 2 and 3 times that further down")
    detector_steps: int = _option(3000, "steps of the detector")
    detector_batch: int = _option(32, "scenes a step of the detector")
    detector_rate: float = _option(1e-3, "the detector's highest learning rate")

    warmup: int = _option(100, "steps over which each learning rate rises")
    save_every: int = _option(200, "steps between two states on disk")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, wanted = getattr(self, entry.name), type(entry.default)
            if not isinstance(value, (int, wanted)) or isinstance(value, bool):
                raise ValueError(f"{entry.name} is {value!r}, wanted {wanted.__name__}")
            if wanted is int and entry.name != "seed" and value < 1:
                raise ValueError(f"{entry.name} is {value}, wanted at least 1")
        if self.size % 16:
            raise ValueError(f"size is {self.size}, wanted a multiple of 16: the latents have an eighth of it, halved once")
        for name in ("unsaid", "summary_drop", "short", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted a share between 0 and 1")


def read_recipe(source: str | Path = DEFAULT, **changes: Any) -> DiffusionRecipe:
    """A recipe by the name of one that ships or from a TOML file, with `changes` laid over it (None changes nothing).

    Raises ValueError for an unknown name or key.
    """
    values = read_values(source, RECIPES, DiffusionRecipe)
    return DiffusionRecipe(**values | {name: value for name, value in changes.items() if value is not None})
