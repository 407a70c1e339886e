"""Primary component matching (Long-CLIP, arXiv 2403.15378, section 3.3).

Fine image features are matched with long captions; coarse ones, rebuilt from the batch's leading principal components,
with short captions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .contrastive import contrastive_loss


def coarse_features(features: Tensor, components: int = 32, through_basis: bool = False) -> Tensor:
    """Features [n, dim] rebuilt from their `components` leading principal components, the mean added, not renormalised.

    The basis is held constant in the gradient, which is stable where singular values meet; `through_basis`
    differentiates the decomposition as well, as the official code does. Decomposed in fp32, features of float64 in float64.
    Raises ValueError where n <= components + 1: the reconstruction would be exact and the coarse features the fine ones.
    """
    count, dim = features.shape
    if count <= components + 1:
        raise ValueError(
            f"a batch of {count} has at most {count - 1} principal components, so keeping {components} changes nothing; "
            f"wanted a batch of at least {components + 2}, or fewer components"
        )
    if components >= dim:
        raise ValueError(f"got {components} components of features {dim} wide, wanted fewer")
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    mean = wide.mean(0, keepdim=True)
    centred = wide - mean
    with torch.set_grad_enabled(through_basis and torch.is_grad_enabled()):
        basis = torch.linalg.svd(centred, full_matrices=False)[2][:components]
    return (centred @ basis.T @ basis + mean).to(features.dtype)


def primary_component_losses(
    image: Tensor,
    long: Tensor,
    short: Tensor,
    scale: Tensor | float,
    components: int = 32,
    smoothing: float = 0.1,
    through_basis: bool = False,
    blocks: int = 1,
) -> dict[str, Tensor]:
    """The two terms of the objective, unweighted: {"long": fine image against long, "short": coarse against short}.

    image, long, short: unit-length features [n, dim]. scale: the logit scale. blocks: equal parts of the batch that are
    decomposed each by itself, as the official code does with each process's share.
    """
    coarse = torch.cat([coarse_features(part, components, through_basis) for part in image.chunk(blocks)])
    return {
        "long": contrastive_loss(image, long, scale, smoothing),
        "short": contrastive_loss(coarse, short, scale, smoothing),
    }
