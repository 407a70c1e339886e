"""The diffusion pipelines with a name; light to import, as the page lists them before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

EMBEDDED = "picturebook-diffusion"


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline with a name: where it comes from, how wide its (first) text encoder is, and what it draws best."""

    name: str
    repository: str | None
    revision: str
    licence: str
    text_width: int
    reads_with: tuple[str, ...]
    """Registry names of models whose text encoder it reads with: none of them can judge what it draws."""
    size: int
    """Pixels a side of the pictures it was trained on."""
    steps: int
    guidance: float


_SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
SPECS = (
    PipelineSpec(EMBEDDED, None, "", "MIT", 128, ("picturebook-clip",), 64, 20, 3.0),
    PipelineSpec("stable-diffusion-1.5", _SD, "main", "CreativeML Open RAIL-M", 768, ("openai/ViT-L-14",), 512, 30, 7.5),
    PipelineSpec("stable-diffusion-xl", _SDXL, "main", "CreativeML Open RAIL++-M", 768, ("openai/ViT-L-14",), 1024, 30, 5.0),
)
