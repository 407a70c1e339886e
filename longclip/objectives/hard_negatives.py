"""Captions with one fact changed as further choices for each picture, as TripletCLIP's text side has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .contrastive import check_pairs


def hard_negative_loss(
    image: Tensor, text: Tensor, negatives: Tensor, present: Tensor, scale: Tensor | float, smoothing: float = 0.0
) -> Tensor:
    """Cross entropy image -> text in which the negatives' columns join the softmax.

    image, text, negatives: [n, dim], of unit length. present: bool [n], whether row i of `negatives` is a caption at
    all; the columns of the others take no part. Raises ValueError where shapes differ.
    """
    check_pairs(image, text)
    check_pairs(image, negatives)
    count = len(image)
    rows = torch.arange(count, device=image.device)
    logits = torch.cat([scale * image @ text.T, (scale * image @ negatives.T)[:, present]], dim=1)
    return F.cross_entropy(logits, rows, label_smoothing=smoothing)
