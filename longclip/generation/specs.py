"""The diffusion pipelines with a name; light to import, as the page lists them before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

EMBEDDED = "picturebook-diffusion"
#: A judge that reads prompts for no pipeline.
SIGLIP = "hf-hub:google/siglip2-base-patch16-224"


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline with a name: where it comes from, which models it goes with, and what it draws best."""

    name: str
    repository: str | None
    revision: str
    licence: str
    reads_with: tuple[str, ...]
    """Registry names of models whose text encoder it reads with: none of them can judge what it draws."""
    swapped_for: str
    """Registry name of a Long-CLIP as wide as its (first) text encoder."""
    size: int
    """Pixels a side of the pictures it was trained on."""
    steps: int
    guidance: float


_SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
_L = (("openai/ViT-L-14",), "BeichenZhang/LongCLIP-L")
SPECS = (
    PipelineSpec(EMBEDDED, None, "", "MIT", ("picturebook-clip",), "picturebook-longclip", 64, 20, 3.0),
    PipelineSpec("stable-diffusion-1.5", _SD, "main", "CreativeML Open RAIL-M", *_L, 512, 30, 7.5),
    PipelineSpec("stable-diffusion-xl", _SDXL, "main", "CreativeML Open RAIL++-M", *_L, 1024, 30, 5.0),
)
