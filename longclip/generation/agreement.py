"""A judge for any pipeline: how well another model, one that did not draw, finds each sentence in what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL.Image import Image

from ..sentences import split_sentences

if TYPE_CHECKING:
    from ..encoder import Encoder
    from .siglip import SigLIP


def measure_agreement(
    encoder: Encoder | SigLIP, pictures: Sequence[Image], text: str, most: int | None = None
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Cosines [pictures, sentences] of each picture with each sentence of a text (`most` of them at most, the first), and the
    sentences' character spans.

    By sentence, so that a model of 77 or 64 tokens can judge what was drawn for a text of any length. Raises ValueError for a
    text without words.
    """
    spans = split_sentences(text)[:most]
    if not spans:
        raise ValueError("there is no sentence to judge by: wanted a prompt of at least a word")
    sentences = encoder.encode_text([text[start:end] for start, end in spans])
    return encoder.encode_image(pictures) @ sentences.T, spans
