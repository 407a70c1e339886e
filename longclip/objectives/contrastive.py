"""CLIP's symmetric contrastive loss (Radford et al., arXiv 2103.00020, figure 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor | float, smoothing: float = 0.0) -> Tensor:
    """Mean of the cross entropies image -> text and text -> image; row i of one belongs to row i of the other.

    image, text: [n, dim], usually of unit length. scale: the logit scale 1/τ. smoothing: label smoothing in [0, 1).
    Raises ValueError where the two differ in shape.
    """
    check_pairs(image, text)
    logits = scale * image @ text.T
    target = torch.arange(len(logits), device=logits.device)
    return (
        F.cross_entropy(logits, target, label_smoothing=smoothing)
        + F.cross_entropy(logits.T, target, label_smoothing=smoothing)
    ) / 2


def check_pairs(image: Tensor, text: Tensor) -> None:
    """Raises ValueError where these are not as many rows of the same width."""
    if image.shape != text.shape or image.ndim != 2 or not len(image):
        raise ValueError(f"image features are {list(image.shape)} and text features {list(text.shape)}; wanted [n, dim] twice")
