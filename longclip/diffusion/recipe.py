"""How the embedded pipeline is made: one frozen dataclass, read from TOML, every field also a flag of `train-diffusion`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..generation.specs import EMBEDDED
from ..recipes import OptionError, check_kinds, check_range, check_share_or_count, check_shares, option, read_fields

# Numbers that may be 0, and those that are more.
_FROM_ZERO = ("seed", "first_steps", "divergence", "grounding")
_MORE = ("autoencoder_rate", "learning_rate", "detector_rate", "things")
# A step's randomness is seeded with a million times the seed.
_LARGEST_SEED = 2**40
RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class DiffusionRecipe:
    """The parts of the pipeline, and the training of each."""

    name: str = option(EMBEDDED, "what the pipeline is called")
    encoder: str = option("picturebook-clip", "the text encoder that the U-Net learns to read, frozen")
    base: str | None = option(None, "a pipeline to go on from: its U-Net is trained on, its other parts stay as they are")
    size: int = option(64, "pixels a side")
    seed: int = option(0, "seed of weights, scenes, captions and noise")

    channels: int = option(8, "channels of the latents, at a quarter of the picture's side")
    autoencoder_width: int = option(16, "channels of the autoencoder's first level; 2 and 4 times that further down")
    autoencoder_steps: int = option(2600, "steps of the autoencoder")
    autoencoder_batch: int = option(32, "scenes a step of the autoencoder")
    autoencoder_rate: float = option(2e-3, "the autoencoder's highest learning rate")
    divergence: float = option(1e-4, "weight of the latents' divergence from a normal distribution")

    scenes: int = option(40_000, "scenes whose latents the U-Net learns from, again and again, with ever new captions")
    width: int = option(32, "channels of an attention head of the U-Net; 2, 3 and 5 times that in its three levels")
    steps: int = option(12_000, "steps of the U-Net")
    first_steps: int = option(1000, "of these, the first, on scenes of a subject alone")
    batch: int = option(64, "scenes a step of the U-Net")
    learning_rate: float = option(1e-3, "the U-Net's highest learning rate")
    things: float = option(5.0, "weight in the U-Net's loss of places that show a thing; all others weigh 1")
    grounding: float = option(0.1, "weight of the loss that wants such places to attend to the words about that thing")
    unsaid: float = option(0.1, "share of captions that are left out, for guidance without a prompt")
    summary_drop: float = option(0.5, "share of long captions without the summary")
    short: float = option(0.2, "share of captions of web-like length")
    average: float = option(0.999, "decay of the running average of the U-Net's weights, which is what ships")

    detector_width: int = option(32, "channels of the detector's first level; 2 and 3 times that further down")
    detector_steps: int = option(3200, "steps of the detector")
    detector_batch: int = option(32, "scenes a step of the detector")
    detector_rate: float = option(1.5e-3, "the detector's highest learning rate")

    warmup: float = option(0.03, "what each learning rate rises over: a share of its steps, below 1, or a number of steps")
    save_every: int = option(200, "steps between two states on disk")

    def __post_init__(self) -> None:
        check_kinds(self)
        counts = [entry.name for entry in fields(self) if isinstance(entry.default, int)]
        check_range(self, [name for name in counts if name not in _FROM_ZERO], 1)
        check_range(self, _FROM_ZERO, 0)
        check_range(self, _MORE, 0, above=True)
        check_range(self, ("seed",), 0, _LARGEST_SEED)
        check_range(self, ("average",), 0, 1, below=True)
        check_shares(self, ("unsaid", "summary_drop", "short"))
        check_share_or_count(self, ("warmup",), "the steps")
        if self.size % 16:
            raise OptionError(
                "size", f"is {self.size}, wanted a multiple of 16: the latents have a quarter of it, halved twice"
            )


def read_recipe(source: str | Path = EMBEDDED, **changes: Any) -> DiffusionRecipe:
    """A recipe by the name of one that ships or from a TOML file, with `changes` laid over it (None changes nothing).

    Raises ValueError for an unknown name or key, OptionError for a value that is refused.
    """
    return read_fields(DiffusionRecipe, RECIPES, source, changes)
