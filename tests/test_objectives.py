"""Objectives against plain oracles, in value and gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from longclip.objectives.contrastive import contrastive_loss
from longclip.objectives.primary_component import coarse_features, primary_component_losses


def features(n: int, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=torch.float64), dim=-1)


def plain_loss(image: np.ndarray, text: np.ndarray, scale: float, smoothing: float) -> float:
    """Row by row, from the definition."""
    n, total = len(image), 0.0
    for a, b in ((image, text), (text, image)):
        for i in range(n):
            logits = [scale * float(a[i] @ b[j]) for j in range(n)]
            top = max(logits)
            log_sum = top + math.log(sum(math.exp(x - top) for x in logits))
            for j in range(n):
                target = smoothing / n + (1 - smoothing) * (i == j)
                total += target * (log_sum - logits[j]) / (2 * n)
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_contrastive_loss_equals_its_definition(smoothing):
    image, text = features(7, 5, 0), features(7, 5, 1)
    assert contrastive_loss(image, text, 20.0, smoothing).item() == pytest.approx(
        plain_loss(image.numpy(), text.numpy(), 20.0, smoothing), abs=1e-9
    )
    image.requires_grad_()
    torch.autograd.gradcheck(lambda x: contrastive_loss(x, text, 5.0, smoothing), image)


def test_contrastive_loss_refuses_pairs_that_do_not_match():
    with pytest.raises(ValueError, match=r"\[4, 5\].*\[3, 5\]"):
        contrastive_loss(features(4, 5, 0), features(3, 5, 1), 1.0)


def test_coarse_features_are_the_best_of_their_rank():
    x = features(50, 12, 0)
    coarse = coarse_features(x, 4)
    mean = x.mean(0)
    # Oracle: eigenvectors of the covariance, in NumPy.
    values, vectors = np.linalg.eigh(np.cov(x.numpy().T))
    basis = vectors[:, np.argsort(values)[-4:]]
    wanted = (x - mean).numpy() @ basis @ basis.T + mean.numpy()
    assert np.abs(coarse.numpy() - wanted).max() < 1e-5
    assert torch.linalg.matrix_rank(coarse - coarse.mean(0), tol=1e-5) == 4
    assert torch.allclose(coarse.mean(0), mean, atol=1e-6)


def test_coarse_features_keep_the_basis_constant_by_default():
    x = features(20, 10, 2).requires_grad_()
    weight = features(20, 10, 3)
    (coarse_features(x, 3) * weight).sum().backward()
    centred = (x - x.mean(0)).detach()
    basis = torch.linalg.svd(centred, full_matrices=False)[2][:3]
    projection = basis.T @ basis
    wanted = weight @ projection
    wanted = wanted - wanted.mean(0) + weight.mean(0)
    assert torch.allclose(x.grad, wanted, atol=1e-6)


def test_coarse_features_can_be_differentiated_through_the_basis():
    x = features(9, 6, 4).double().requires_grad_()

    def through(y):  # fp32 inside: compare with finite differences coarsely
        return coarse_features(y, 2, through_basis=True).sum(0)[:2]

    assert torch.autograd.gradcheck(through, x, eps=1e-3, atol=5e-3, rtol=5e-2)


@pytest.mark.parametrize("count", [2, 20, 33])
def test_a_batch_too_small_for_its_components_is_refused(count):
    with pytest.raises(ValueError, match=f"a batch of {count} .* at least 34"):
        coarse_features(features(count, 64, 0), 32)


def test_more_components_than_dimensions_are_refused():
    with pytest.raises(ValueError, match="got 32 components of features 16 wide"):
        coarse_features(features(64, 16, 0), 32)


def test_half_precision_is_decomposed_in_full():
    x = features(50, 40, 0)
    assert coarse_features(x.half(), 8).dtype == torch.float16
    assert (coarse_features(x.half(), 8).double() - coarse_features(x, 8)).abs().max() < 2e-3


def test_primary_component_losses_match_fine_with_long_and_coarse_with_short():
    image, long, short = (features(40, 50, seed) for seed in range(3))
    losses = primary_component_losses(image, long, short, 10.0, components=8)
    coarse = coarse_features(image, 8)
    assert losses["long"].item() == pytest.approx(plain_loss(image.numpy(), long.numpy(), 10.0, 0.1), abs=1e-6)
    assert losses["short"].item() == pytest.approx(plain_loss(coarse.numpy(), short.numpy(), 10.0, 0.1), abs=1e-6)
