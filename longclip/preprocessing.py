"""From an RGB picture to the pixels a model reads: open_clip's transform, or the image processor of a Hugging Face folder."""

from __future__ import annotations

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .images import ImageError, Picture, open_image

if TYPE_CHECKING:
    from torch import Tensor

# Beyond this many times longer than wide, the ends that a centre crop discards are cut off ahead of the resizing: a
# picture of 1 x 40,000,000 pixels would otherwise be resized to 224 x 9 billion.
_LONG, _LONG_FOR_PROCESSORS = 8, 100
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
# Pillow's numbers for the two ways to resize that both libraries have.
_RESAMPLING = {"bicubic": int(Image.Resampling.BICUBIC), "bilinear": int(Image.Resampling.BILINEAR)}
# Two libraries that resize in the same way may round a pixel to neighbouring values, and rarely further apart.
_SAME_PIXELS = 3


class PreprocessingError(ValueError):
    """Settings that cannot be used, or cannot be said in another library's terms; the message says which."""


class _Pixels(ABC):
    """What every preprocessing can do."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @abstractmethod
    def __call__(self, image: Image.Image) -> Tensor:
        """An RGB picture as float32 pixels [3, height, width], normalised."""

    @abstractmethod
    def layout(self, image: Image.Image) -> np.ndarray:
        """An RGB picture resized and cropped, uint8 [3, height, width]: the pixels are ``(layout / 255 - mean) / std``."""

    def batch(self, pictures: Iterable[Picture]) -> Tensor:
        """Pictures of any kind that `open_image` takes, as float32 pixels [n, 3, height, width]."""
        import torch

        rows = [self(open_image(picture)) for picture in pictures]
        return torch.stack(rows) if rows else torch.empty(0, 3, *self.size)


@dataclass(frozen=True)
class Preprocessing(_Pixels):
    """open_clip's transform for evaluation, with its names for the settings.

    `mode` is "shortest" (resize the shorter side, cut out the centre), "longest" (the longer side, the rest filled) or
    "squash".
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"
    mode: str = "shortest"
    fill: int = 0

    @classmethod
    def from_config(cls, size: int | tuple[int, int], settings: Mapping[str, Any] | None = None) -> Preprocessing:
        """From a model's `image_size` and the ``preprocess_cfg`` of its folder."""
        settings = settings or {}
        size = settings.get("size", size)
        height, width = (size, size) if isinstance(size, int) else size[-2:]
        return cls(
            size=(height, width),
            mean=tuple(settings.get("mean", cls.mean)),
            std=tuple(settings.get("std", cls.std)),
            interpolation=settings.get("interpolation", cls.interpolation),
            mode=settings.get("resize_mode", cls.mode),
            fill=settings.get("fill_color", cls.fill),
        )

    def __call__(self, image: Image.Image) -> Tensor:
        return self._transform(self._shorten(image))

    def layout(self, image: Image.Image) -> np.ndarray:
        # Of unit deviation about 0, the transform gives the very pixels, divided by 255.
        return self._plain(self._shorten(image)).mul(255).round().byte().numpy()

    def describe(self) -> str:
        """All that decides about pixels, as JSON: it is part of what names an embedder (`longclip.identity`)."""
        return json.dumps(asdict(self), sort_keys=True)

    def settings(self) -> dict[str, Any]:
        """open_clip's ``preprocess_cfg``."""
        return {
            "size": list(self.size) if self.size[0] != self.size[1] else self.size[0],
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            "resize_mode": self.mode,
            "fill_color": self.fill,
        }

    def processor(self) -> dict[str, Any]:
        """The settings of transformers' CLIPImageProcessor that say the same; open_clip's own stand under "open_clip".

        transformers resizes with torchvision, open_clip with Pillow: a pixel may be rounded to the neighbouring value. Raises
        PreprocessingError for what that class does not do.
        """
        height, width = self.size
        if self.interpolation not in _RESAMPLING:
            raise PreprocessingError(f"interpolation {self.interpolation!r} has no fixed counterpart in transformers")
        if self.mode == "longest" or (self.mode == "shortest" and height != width):
            raise PreprocessingError(
                f"pictures of {height} x {width} are laid out by open_clip's mode {self.mode!r}, which transformers' "
                "CLIPImageProcessor does not have"
            )
        squash = self.mode == "squash"
        return {
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": True,
            "size": {"height": height, "width": width} if squash else {"shortest_edge": height},
            "do_center_crop": not squash,
            "crop_size": {"height": height, "width": width},
            "resample": _RESAMPLING[self.interpolation],
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "do_convert_rgb": True,
            "open_clip": self.settings(),
        }

    def _shorten(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        if max(width, height) <= _LONG * min(width, height):
            return image
        scale = min(self.size) / max(width, height)
        if self.mode == "longest" and scale * min(width, height) < 1:
            # Straight to the final size: open_clip's rounding would leave the short side 0 pixels.
            return image.resize((max(1, round(width * scale)), max(1, round(height * scale))))
        return image if self.mode != "shortest" else _cut_ends(image, _LONG)

    @cached_property
    def _transform(self) -> Any:
        return self._made(self.mean, self.std)

    @cached_property
    def _plain(self) -> Any:
        return self._made((0.0,) * 3, (1.0,) * 3)

    def _made(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
        from open_clip.transform import image_transform

        size = self.size[0] if self.size[0] == self.size[1] else self.size
        return image_transform(
            size,
            is_train=False,
            mean=mean,
            std=std,
            resize_mode=self.mode,
            interpolation=self.interpolation,
            fill_color=self.fill,
        )


@dataclass(frozen=True)
class ProcessorPreprocessing(_Pixels):
    """An image processor of transformers, called as it is: whatever it does to a picture is what the model sees.

    `mean` and `std` say together what its rescaling and normalising do to the values of a layout divided by 255.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    """The settings, as JSON."""

    @classmethod
    def from_settings(cls, size: tuple[int, int], settings: Mapping[str, Any]) -> ProcessorPreprocessing:
        """From the content of a ``preprocessor_config.json``, for a model that reads pictures of `size` (height, width).

        Raises PreprocessingError for a class that transformers does not have or that needs code of its own, for settings
        that do not give pictures of this size, and for arithmetic other than rescaling and normalising.
        """
        source = json.dumps(settings, sort_keys=True)
        found = cls(size, (0.0,) * 3, (1.0,) * 3, source)
        processor = found._processor
        factor = 255 * processor.rescale_factor if processor.do_rescale else 255.0
        factor = 1.0 if abs(factor - 1) < 1e-9 else factor  # 1 / 255 is rounded
        if not factor:
            raise PreprocessingError("its rescale_factor is 0: every picture would be black")
        mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else (0.0, 1.0)
        found = cls(size, _three(mean, factor, "image_mean"), _three(std, factor, "image_std"), source)
        if not np.isfinite((*found.mean, *found.std)).all() or 0 in found.std:
            raise PreprocessingError(
                f"its image_mean is {mean} and image_std {std}, wanted finite numbers, and no 0 to divide by"
            )
        found._check()
        return found

    def __call__(self, image: Image.Image) -> Tensor:
        return self._run(image).float()

    def layout(self, image: Image.Image) -> np.ndarray:
        return self._run(image, do_rescale=False, do_normalize=False).float().round().clamp(0, 255).byte().numpy()

    def describe(self) -> str:
        """All that decides about pixels, as JSON: it is part of what names an embedder (`longclip.identity`)."""
        kind = type(self._processor)
        return json.dumps([f"{kind.__module__}.{kind.__qualname__}", self.size, self.source])

    def processor(self) -> dict[str, Any]:
        """The settings, whole."""
        return json.loads(self.source)

    def settings(self) -> dict[str, Any]:
        """The ``preprocess_cfg`` with which open_clip does the same, but for the rounding of single pixels.

        Raises PreprocessingError where open_clip has no such settings.
        """
        processor = self._processor
        ways = {number: name for name, number in _RESAMPLING.items()}
        name = ways.get(int(processor.resample)) if processor.resample is not None else None
        for mode in ("shortest", "squash") if name else ():
            ours = Preprocessing(self.size, self.mean, self.std, name, mode)
            if all(_differ(ours.layout(image), self.layout(image)) <= _SAME_PIXELS for image in _samples(self.size)):
                return ours.settings()
        raise PreprocessingError(
            f"open_clip cannot lay out pictures as this model's {type(processor).__name__} does: {self.source}"
        )

    def _run(self, image: Image.Image, **changes: Any) -> Tensor:
        image = self._shortened(image)
        try:
            return self._processor(images=image, return_tensors="pt", **changes)["pixel_values"][0]
        except Exception as error:
            raise ImageError(
                f"a picture of {image.width:,} x {image.height:,} pixels cannot be prepared as the model wants it: "
                f"{_one_line(error)}"
            ) from error

    def _shortened(self, image: Image.Image) -> Image.Image:
        return _cut_ends(image, _LONG_FOR_PROCESSORS) if self._cuts_centre else image

    @cached_property
    def _cuts_centre(self) -> bool:
        # ConvNeXt's processor crops unasked: a shorter side alone gives no fixed size without a crop.
        size = self._processor.size or {}
        return size.get("shortest_edge") is not None and size.get("longest_edge") is None

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoImageProcessor

        settings = json.loads(self.source)
        if "AutoImageProcessor" in (settings.get("auto_map") or {}):
            raise PreprocessingError("its image processor needs code of its own (auto_map), which is never run")
        if not settings.get("image_processor_type") and not settings.get("feature_extractor_type"):
            settings["image_processor_type"] = "CLIPImageProcessor"
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / PROCESSOR_FILES[1]).write_text(json.dumps(settings), "utf-8")
            try:
                return AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            except Exception as error:  # whatever a setting of the wrong kind makes of it
                kind = settings.get("image_processor_type") or settings.get("feature_extractor_type")
                raise PreprocessingError(f"transformers makes no {kind} of its settings: {_one_line(error)}") from error

    def _check(self) -> None:
        """Raises PreprocessingError for a processor that does something else than `size`, `mean` and `std` say."""
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (self.mean, self.std))
        for image in _samples(self.size):
            try:
                pixels, laid = self(image), self.layout(image)
            except Exception as error:
                raise PreprocessingError(f"its image processor fails on a picture: {_one_line(error)}") from error
            if tuple(pixels.shape) != (3, *self.size):
                raise PreprocessingError(
                    f"its image processor makes {' x '.join(map(str, pixels.shape[1:]))} pixels of a picture of "
                    f"{image.height} x {image.width}, and the model reads {self.size[0]} x {self.size[1]}"
                )
            if np.abs(pixels.numpy() - (laid / np.float32(255) - mean) / std).max() > 1e-4 * max(1, float((1 / std).max())):
                raise PreprocessingError("its image processor does more than resizing, cropping, rescaling and normalising")


def preprocessing_of(
    size: int | tuple[int, int], settings: Mapping[str, Any] | None = None, processor: Mapping[str, Any] | None = None
) -> Preprocessing | ProcessorPreprocessing:
    """The preprocessing of a model that reads pictures of `size`: by open_clip's settings, or by those of a `processor`.

    A processor that was written for open_clip's settings (`Preprocessing.processor`) is read as these, unless it was changed.
    """
    if processor is None:
        return Preprocessing.from_config(size, settings)
    if isinstance(told := processor.get("open_clip"), Mapping):
        ours = Preprocessing.from_config(size, told)
        if ours.processor() == dict(processor):
            return ours
    height, width = (size, size) if isinstance(size, int) else size
    return ProcessorPreprocessing.from_settings((height, width), {k: v for k, v in processor.items() if k != "open_clip"})


def _cut_ends(image: Image.Image, ratio: int) -> Image.Image:
    """The middle of a picture that is longer than `ratio` times its width (or the other way round)."""
    width, height = image.size
    keep = ratio * min(width, height)
    if max(width, height) <= keep:
        return image
    left, top = max(0, (width - keep) // 2), max(0, (height - keep) // 2)
    return image.crop((left, top, min(width, left + keep), min(height, top + keep)))


def _three(value: Any, factor: float, name: str) -> tuple[float, ...]:
    values = [value] * 3 if isinstance(value, (int, float)) else list(value)
    if len(values) != 3:
        raise PreprocessingError(f"its {name} has {len(values)} values, wanted 3, one a colour")
    return tuple(float(part) / factor for part in values)


def _samples(size: tuple[int, int]) -> list[Image.Image]:
    """A wide and a tall picture, larger than `size`, of colours that change slowly."""
    height, width = (side * 2 + 6 for side in size)
    shapes = [(height, width * 2 + 10), (height * 2 + 10, width)]
    return [Image.fromarray(_waves(*shape)) for shape in shapes]


def _waves(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (9 + part) + part) + np.cos(y / (7 + part)) for part in range(3)]
    return (np.stack(waves, axis=-1) * 60 + 128).round().astype(np.uint8)


def _differ(left: np.ndarray, right: np.ndarray) -> int:
    """The largest difference between two layouts, in steps of 255."""
    return int(np.abs(left.astype(int) - right.astype(int)).max()) if left.shape == right.shape else 255


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
