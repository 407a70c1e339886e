"""The positive-pair regulariser of Chen et al. (arXiv 2310.00927, section 5), which widens the margin of matching pairs."""

from __future__ import annotations

from torch import Tensor

from .contrastive import check_pairs


def positive_pair_loss(image: Tensor, text: Tensor) -> Tensor:
    """R = -mean_i S_ii, the negated mean cosine of the pairs.

    image, text: [n, dim], of unit length. Added to the contrastive loss with a weight λ. Alone it pulls every cosine up:
    watch `mean_negative_cosine` beside it.
    """
    check_pairs(image, text)
    return -(image * text).sum(-1).mean()


def mean_negative_cosine(image: Tensor, text: Tensor) -> Tensor:
    """Mean of S_ij over i != j; 0 where there is one pair alone."""
    check_pairs(image, text)
    count = len(image)
    similarity = image @ text.T
    return (similarity.sum() - similarity.diagonal().sum()) / max(1, count * (count - 1))
