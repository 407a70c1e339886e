"""What every checkpoint format is read into and written from, and the strict comparison they share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from longclip.model import Config, LongCLIP, build_model
from longclip.preprocessing import Preprocessing, PreprocessingError, ProcessorPreprocessing, preprocessing_of

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


PROCESSOR = "image_processor"
"""Where a configuration keeps the settings of a transformers image processor: open_clip reads past it."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written; the message says why and what was wanted."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights with what is needed to build it."""

    config: Config
    """open_clip's model config."""
    state: dict[str, Tensor]
    """open_clip's keys; each tensor in the precision it was stored in."""
    format: str
    """The format it was read from, one of `longclip.checkpoints.FORMATS`."""
    preprocess: dict[str, Any] = field(default_factory=dict)
    """open_clip's `preprocess_cfg` (mean, std, ...); what is not in it has open_clip's default."""
    processor: dict[str, Any] | None = None
    """The settings of a transformers image processor, where the model came with one: then these count."""
    notes: tuple[str, ...] = ()
    """Sentences on what was chosen in reading it, such as whose configuration it has."""

    @property
    def precision(self) -> str:
        """The precision most weights are stored in: "fp32", "fp16" or "bf16"."""
        weights: Counter[torch.dtype] = Counter()
        for tensor in self.state.values():
            weights[tensor.dtype] += tensor.numel()
        dtype = weights.most_common(1)[0][0]
        return next((name for name, known in PRECISIONS.items() if known == dtype), str(dtype).removeprefix("torch."))

    def configuration(self) -> dict[str, Any]:
        """The content of an `open_clip_config.json`; the settings of an image processor are kept whole beside open_clip's.

        Raises CheckpointError for preprocessing that open_clip does not do.
        """
        if self.processor is None:
            return {"model_cfg": self.config, "preprocess_cfg": self.preprocess}
        size = self.config["vision_cfg"].get("image_size", 224)
        try:
            settings = preprocessing_of(size, processor=self.processor).settings()
        except PreprocessingError as error:
            raise CheckpointError(f"open_clip's format cannot hold this model: {error}") from error
        return {"model_cfg": self.config, "preprocess_cfg": settings, PROCESSOR: self.processor}

    def cast(self, precision: str) -> Checkpoint:
        """The same with every floating-point tensor in `precision`."""
        if precision not in PRECISIONS:
            raise CheckpointError(f"got precision {precision!r}, wanted one of {', '.join(PRECISIONS)}")
        dtype = PRECISIONS[precision]
        return replace(self, state={k: v.to(dtype) if v.is_floating_point() else v for k, v in self.state.items()})

    def build(self) -> LongCLIP:
        """The model, in fp32 on the CPU, in evaluation mode; its weights are copies."""
        with torch.device("meta"):  # no time for random weights that are replaced
            model = build_model(self.config)
        compare_states(self.state, model.state_dict(), self.format)
        copies = {k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for k, v in self.state.items()}
        model.load_state_dict(copies, assign=True)
        model.attn_mask = torch.full(model.attn_mask.shape, float("-inf")).triu_(1)
        if any(buffer.is_meta for buffer in model.buffers()):
            # Some of timm's towers keep tables that no file holds: they are made with the model.
            model = build_model(self.config)
            model.load_state_dict(copies)
        return model.eval()


def checkpoint_of(model: LongCLIP, preprocessing: Preprocessing | ProcessorPreprocessing | None = None) -> Checkpoint:
    """The checkpoint of a model, ready to be written; its tensors are copies on the CPU."""
    state = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in model.state_dict().items()}
    if isinstance(preprocessing, ProcessorPreprocessing):
        return Checkpoint(model.config, state, "model", processor=preprocessing.processor())
    return Checkpoint(model.config, state, "model", preprocessing.settings() if preprocessing else {})


def mlp_ratio(hidden: int, width: int) -> float:
    """The ratio that open_clip multiplies by `width` and rounds down to get `hidden`."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def empty_state(config: Config, format: str) -> dict[str, Tensor]:
    """Keys and shapes of a config's model: tensors without contents."""
    try:
        with torch.device("meta"):
            return dict(build_model(config).state_dict())
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"read as {format}, its config describes no CLIP that can be built here: {error}") from error


def compare_states(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], format: str) -> None:
    """Raise CheckpointError where the keys or shapes of `state` are not those of `wanted`."""
    faults = [f"missing key {name!r}" for name in wanted if name not in state]
    faults += [f"extra key {name!r}" for name in state if name not in wanted]
    faults += [
        f"{name!r} has shape {list(state[name].shape)}, wanted {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    faults += [
        f"{name!r} is of {str(state[name].dtype).removeprefix('torch.')}, wanted floating point: a quantised model is not read"
        for name, tensor in wanted.items()
        if name in state and tensor.is_floating_point() and not state[name].is_floating_point()
    ]
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(f"read as {format}, the weights do not fit: {'; '.join(faults[:5])}{more}")


def check_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise CheckpointError for the first tensor that holds what is no number, or infinity."""
    for name, value in state.items():
        if value.is_floating_point() and value.numel():
            # A sum that is not finite may be only a large one.
            values = value.float() if value.element_size() == 1 else value
            if not math.isfinite(values.sum(dtype=torch.float64)) and not values.isfinite().all():
                kind = "NaN" if values.isnan().any() else "infinity"
                raise CheckpointError(f"{where} is broken: {name!r} holds {kind}, where all weights are finite numbers")
