"""The square loss, with which Chen et al. (arXiv 2310.00927) show what the contrastive loss is good for."""

from __future__ import annotations

from torch import Tensor

from .contrastive import check_pairs


def square_loss(image: Tensor, text: Tensor) -> Tensor:
    """mean_i (1 - S_ii)² + mean_{i != j} S_ij², S being the cosines.

    image, text: [n, dim], of unit length. Raises ValueError where the two differ in shape.
    """
    check_pairs(image, text)
    similarity = image @ text.T
    positive = similarity.diagonal()
    count = len(similarity)
    negatives = (similarity.square().sum() - positive.square().sum()) / max(1, count * (count - 1))
    return (1 - positive).square().mean() + negatives
