"""Drawing: a pipeline's own loop, step by step, with previews, and left at once where nobody waits for it any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from PIL.Image import Image
from torch import Tensor

from .prompts import Prompt
from .word_maps import WordMaps

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

NO_MEMORY = "the memory does not suffice for this drawing: fewer or smaller pictures, or half precision, need less"
MOST_STEPS, MOST_PICTURES, LARGEST_SIDE = 200, 16, 2048


# Pipelines that share a U-Net take turns: one that was left finishes its step before the next one begins.
_turns: WeakKeyDictionary[torch.nn.Module, Lock] = WeakKeyDictionary()


class DrawingError(RuntimeError):
    """A picture that could not be drawn; the message is one sentence for the user."""


@dataclass(frozen=True)
class Settings:
    """How to draw. Each seed is a picture; the starting noise depends on the seed and the size alone, not on the prompt."""

    seeds: tuple[int, ...] = (0,)
    steps: int = 20
    guidance: float = 5.0
    height: int | None = None
    width: int | None = None
    preview_every: int = 1
    """Steps between two previews; 0: none."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.seeds) <= MOST_PICTURES:
            raise ValueError(f"got {len(self.seeds)} seeds, wanted 1 to {MOST_PICTURES}")
        if not 1 <= self.steps <= MOST_STEPS:
            raise ValueError(f"got {self.steps} steps, wanted 1 to {MOST_STEPS}")
        if not 1 <= self.guidance <= 50:
            raise ValueError(f"got a guidance of {self.guidance}, wanted 1 (none) to 50")
        for side in (self.height, self.width):
            if side is not None and (side % 8 or not 8 <= side <= LARGEST_SIDE):
                raise ValueError(f"got a side of {side} pixels, wanted a multiple of 8 up to {LARGEST_SIDE}")


@dataclass(frozen=True)
class Step:
    """After step `number` of `steps`: the pictures so far (none where no preview was made), seconds since the start."""

    number: int
    steps: int
    pictures: tuple[Image, ...]
    seconds: float
    blanked: tuple[bool, ...] = ()
    """Of each finished picture, whether the pipeline's safety checker put a black one in its place; empty: it has none."""

    @property
    def finished(self) -> bool:
        return self.number == self.steps

    @property
    def seconds_left(self) -> float:
        """At the rate so far."""
        return self.seconds / max(1, self.number) * (self.steps - self.number)


class _Left(Exception):
    """Nobody waits for the picture any more."""


def draw(pipeline: DiffusionPipeline, prompt: Prompt, settings: Settings, word_maps: WordMaps | None = None) -> Iterator[Step]:
    """The steps of a drawing; the last one holds the pictures, one a seed.

    Closing the iterator ends the work after the step under way, and does not wait for that. Drawings with the same U-Net take
    turns. Raises DrawingError where memory does not suffice.
    """
    steps: SimpleQueue[Step | Exception] = SimpleQueue()
    left = Event()
    worker = Thread(target=_work, args=(pipeline, prompt, settings, word_maps, steps.put, left), daemon=True)
    worker.start()
    try:
        while True:
            step = steps.get()
            if isinstance(step, Exception):
                raise step
            yield step
            if step.finished:
                return
    finally:
        left.set()


def _work(
    pipeline: DiffusionPipeline, prompt: Prompt, settings: Settings, word_maps: WordMaps | None, put, left: Event
) -> None:
    with _turns.setdefault(pipeline.unet, Lock()):
        if left.is_set():
            return
        vae_type, failed = pipeline.vae.dtype, None
        try:
            _run(pipeline, prompt, settings, word_maps, put, left)
        except _Left:
            pass
        except Exception as error:  # whatever it is, whoever waits must hear of it
            failed = DrawingError(NO_MEMORY) if lacks_memory(error) else error
        finally:
            pipeline.maybe_free_model_hooks()
            if pipeline.vae.dtype != vae_type:  # SDXL's decodes in single precision, and stays so after an error
                pipeline.vae.to(vae_type)
        if failed is not None:
            put(failed)


def _run(pipeline: DiffusionPipeline, prompt: Prompt, settings: Settings, word_maps: WordMaps | None, put, left: Event) -> None:
    start = perf_counter()

    def on_step(pipeline: DiffusionPipeline, index: int, timestep: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if left.is_set():
            raise _Left
        number, every = index + 1, settings.preview_every
        # Schedulers of a higher order call the U-Net more often than there are steps.
        number = min(number, settings.steps)
        if number < settings.steps:
            seen = _decode(pipeline, tensors["latents"]) if every and index % every == 0 else ()
            put(Step(number, settings.steps, seen, perf_counter() - start))
        return {}

    drawn = pipeline(**_arguments(prompt, settings, word_maps), callback_on_step_end=on_step)
    blanked = tuple(map(bool, getattr(drawn, "nsfw_content_detected", None) or ()))  # SDXL's pipeline has no such field
    put(Step(settings.steps, settings.steps, tuple(drawn.images), perf_counter() - start, blanked))


def lacks_memory(error: Exception) -> bool:
    """Whether an error says that memory, the device's or the machine's, does not suffice."""
    # On a CPU torch has no kind of its own for it.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _arguments(prompt: Prompt, settings: Settings, word_maps: WordMaps | None) -> dict[str, Any]:
    count = len(settings.seeds)
    arguments: dict[str, Any] = {
        "prompt_embeds": prompt.states,
        "negative_prompt_embeds": prompt.negative,
        "num_images_per_prompt": count,
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        # The noise is drawn on the CPU: the same on every device.
        "generator": [torch.Generator("cpu").manual_seed(seed) for seed in settings.seeds],
        "height": settings.height,
        "width": settings.width,
    }
    if prompt.pooled is not None:
        arguments |= {"pooled_prompt_embeds": prompt.pooled, "negative_pooled_prompt_embeds": prompt.negative_pooled}
    if word_maps is not None:
        word_maps.pictures, word_maps.guided = count, settings.guidance > 1
        arguments["cross_attention_kwargs"] = {"word_maps": word_maps}
    return arguments


def _decode(pipeline: DiffusionPipeline, latents: Tensor) -> tuple[Image, ...]:
    """Latents as pictures, for a look; none where the VAE cannot work in the precision it is in (SDXL's in fp16)."""
    vae = pipeline.vae
    # Configs that do not say so (Stable Diffusion 1.x) have `force_upcast` too; its pipeline knows no such thing.
    if vae.dtype == torch.float16 and vae.config.force_upcast and hasattr(pipeline, "upcast_vae"):
        return ()
    pixels = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]
    return tuple(pipeline.image_processor.postprocess(pixels, output_type="pil"))
