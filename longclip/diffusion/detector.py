"""The judge of what was drawn: which kind of thing, in which colour, each cell of a picture shows.

It learns from the picture book's own masks and has never seen an encoder or a U-Net, so it favours none. Half of what it learns
from went through the autoencoder, as every drawn picture does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .recipe import DiffusionRecipe
from .scenes import CELL, COLOUR_NAMES, KIND_NAMES, NO_KIND, scaled

CONFIG, WEIGHTS = "config.json", "model.safetensors"
# Most cells show no thing; what they show counts less.
_NOTHING = 0.2


@dataclass(frozen=True)
class Found:
    """A kind that may be in a picture: the detector's belief in it, and its colour and place (0..1) where that is strongest."""

    belief: float
    colour: str
    x: float
    y: float


class Detector(nn.Module):
    """Pictures [n, 3, size, size] in -1..1 -> logits of kinds and of colours, [n, names + 1, size / 4, size / 4] each."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.width, self.size = width, size
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            _Block(width, width),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            _Block(2 * width, 2 * width),
            nn.Conv2d(2 * width, 3 * width, 3, stride=2, padding=1),
            _Block(3 * width, 3 * width),
            _Block(3 * width, 3 * width, spread=2),
            _Block(3 * width, 3 * width),
            nn.GroupNorm(8, 3 * width),
            nn.SiLU(),
        )
        self.kinds = nn.Conv2d(3 * width, len(KIND_NAMES) + 1, 1)
        self.colours = nn.Conv2d(3 * width, len(COLOUR_NAMES) + 1, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        x = self.layers(pixels)
        return self.kinds(x), self.colours(x)

    @torch.inference_mode()
    def find(self, pictures: Sequence[Image.Image]) -> list[dict[str, Found]]:
        """For each picture what is believed of every kind; pictures of another size are resized."""
        images = [picture.convert("RGB").resize((self.size, self.size), Image.Resampling.BOX) for picture in pictures]
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
        kinds, colours = self(scaled(pixels))
        beliefs = kinds.softmax(1)[:, :NO_KIND].flatten(2)
        best, cells = beliefs.max(-1)
        named = colours[:, :-1].argmax(1).flatten(1)
        columns = self.size // CELL
        return [
            {
                kind: Found(
                    belief=best[row, number].item(),
                    colour=COLOUR_NAMES[named[row, cells[row, number]]],
                    x=(cells[row, number].item() % columns + 0.5) / columns,
                    y=(cells[row, number].item() // columns + 0.5) / columns,
                )
                for number, kind in enumerate(KIND_NAMES)
            }
            for row in range(len(pictures))
        ]

    def save(self, folder: Path) -> None:
        """Half precision: it is small, and sure enough of what it sees."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.half().contiguous() for name, value in self.state_dict().items()}, folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps({"width": self.width, "size": self.size}) + "\n", "utf-8")


class _Block(nn.Module):
    """Two convolutions beside a shortcut; `spread` puts their taps further apart, so that a cell sees more around it."""

    def __init__(self, inputs: int, outputs: int, spread: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, inputs),
            nn.SiLU(),
            nn.Conv2d(inputs, outputs, 3, padding=spread, dilation=spread),
            nn.GroupNorm(8, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=spread, dilation=spread),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def build_detector(recipe: DiffusionRecipe) -> Detector:
    """With random weights."""
    return Detector(recipe.detector_width, recipe.size)


def load_detector(folder: Path) -> Detector:
    """Reads what `Detector.save` wrote."""
    settings = json.loads((folder / CONFIG).read_text("utf-8"))
    detector = Detector(settings["width"], settings["size"])
    detector.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    return detector.eval().requires_grad_(False)


def detector_losses(
    detector: Detector, autoencoder: AutoencoderKL, batch: tuple[Tensor, Tensor, Tensor], rng: torch.Generator
) -> dict[str, Tensor]:
    """uint8 pictures with the kind and colour of each cell -> the cross entropy of both, a number each."""
    images, kinds, colours = batch
    drawn = {"generator": rng, "device": rng.device}
    pixels = scaled(images)
    half = len(pixels) // 2
    with torch.no_grad():
        pixels[:half] = autoencoder(pixels[:half]).sample.clamp(-1, 1)
    pixels = pixels + 0.05 * torch.rand(len(pixels), 1, 1, 1, **drawn) * torch.randn(pixels.shape, **drawn)
    kind_logits, colour_logits = detector(pixels)
    return {
        "kinds": _weighted(kind_logits, kinds),
        "colours": _weighted(colour_logits, colours),
    }


def _weighted(logits: Tensor, target: Tensor) -> Tensor:
    weight = torch.ones(logits.shape[1], device=logits.device)
    weight[-1] = _NOTHING
    return F.cross_entropy(logits, target, weight)
