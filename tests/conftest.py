"""Small random models, so that tests need neither the shipped ones nor a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from longclip import checkpoints
from longclip.model import build_model
from longclip.vocabulary import distinct_words, reduce_vocabulary, save_tokenizer

CORPUS = (
    "A red fox sits beside a small pond under a yellow moon, and three ducks swim past.",
    "Two green boats rest on the sand; the larger one carries a striped sail.",
    "It's a quiet street: a café, a bakery, 12 windows and a cat that doesn't move.",
)


def tiny_config(context_length: int, vocab_size: int) -> dict[str, Any]:
    """An open_clip config of two layers, 64 wide, for pictures of 32 pixels."""
    return {
        "embed_dim": 48,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {
            "context_length": context_length,
            "vocab_size": vocab_size,
            "width": 64,
            "heads": 1,
            "layers": 2,
        },
    }


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A function from a context length to the folder of a random model in our own format; read it, never write to it."""
    made: dict[int, Path] = {}

    def make(context_length: int = 77) -> Path:
        if context_length not in made:
            folder = tmp_path_factory.mktemp(f"tiny-{context_length}") / f"tiny-{context_length}"
            vocab, merges = reduce_vocabulary(CORPUS)
            torch.manual_seed(context_length)
            model = build_model(tiny_config(context_length, len(vocab)))
            checkpoints.write(checkpoints.checkpoint_of(model).cast("fp16"), folder)
            save_tokenizer(folder, vocab, merges, context_length, distinct_words(CORPUS))
            made[context_length] = folder
        return made[context_length]

    return make
