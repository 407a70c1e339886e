"""Progressive self-distillation (Andonian et al., arXiv 2204.04588): a model's own predictions soften its targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .contrastive import check_pairs


def self_distillation_loss(image: Tensor, text: Tensor, scale: Tensor | float, share: float) -> Tensor:
    """(1 - share) · CE(one-hot) + share · CE(soft targets), the mean of both directions.

    The soft targets of one direction are the model's own predictions of the other, without gradient: those of picture i
    over the captions are what caption i predicts over the pictures. image, text: [n, dim], of unit length. share: in
    [0, 1]; grown from 0 over training. Raises ValueError for another share, or where the two differ in shape.
    """
    check_pairs(image, text)
    if not 0 <= share <= 1:
        raise ValueError(f"the share of soft targets is {share}, wanted one between 0 and 1")
    logits = scale * image @ text.T
    hard = torch.eye(len(logits), device=logits.device, dtype=logits.dtype)
    losses = []
    for forth, back in ((logits, logits.T), (logits.T, logits)):
        target = (1 - share) * hard + share * back.detach().softmax(dim=-1)
        losses.append(F.cross_entropy(forth, target))
    return (losses[0] + losses[1]) / 2
