"""Attention rollout: which words the text encoder attends to. It knows nothing of the picture, and explains no match.

Abnar and Zuidema, "Quantifying attention flow in transformers", 2020: attention averaged over heads, half of each layer's
share staying where it is, multiplied through the layers; the row of the end token, which the feature is read from.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from ..blocks import is_plain
from .match import Attribution, Match


def attention_rollout(match: Match, level: str = "words") -> Attribution:
    """Each unit's share of what flows to the end token; with those of start and end token the shares add up to 1.

    Raises ValueError for a model whose blocks are not CLIP's own.
    """
    finish = match.begin("attention-rollout", level)
    encoder, units = match.encoder, match.units(level)
    if not is_plain(encoder.model.transformer):
        raise ValueError(f"attention rollout reads CLIP's own blocks, and {encoder.spec.name} has others")
    ids = torch.tensor([match.caption.ids], device=encoder.device)
    with torch.inference_mode():
        states = encoder.text_intermediates(ids)["text_intermediates"]
        with encoder.turn() as model:
            states = [model.embed_tokens(ids, torch.arange(ids.shape[1], device=encoder.device)), *states[:-1]]
            flow = torch.eye(ids.shape[1], device=encoder.device, dtype=torch.float64)
            for block, state in zip(model.transformer.resblocks, states, strict=True):
                weights = attention_weights(block, state[0]).mean(0).double()
                flow = (weights + torch.eye(len(weights), device=weights.device, dtype=weights.dtype)) / 2 @ flow
    match.passes += 1
    shares = flow[-1].cpu().numpy()
    return finish(np.array([shares[unit.first : unit.last].sum() for unit in units]))


def attention_weights(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """The causal attention of a block over one sequence [length, width]: [heads, length, length], rows that add up to 1."""
    attn, (length, width) = block.attn, x.shape
    fused = F.linear(block.ln_1(x), attn.in_proj_weight[: 2 * width], attn.in_proj_bias[: 2 * width])
    q, k = fused.view(length, 2, attn.num_heads, attn.head_dim).permute(1, 2, 0, 3).unbind(0)
    products = q @ k.transpose(1, 2) / attn.head_dim**0.5
    hidden = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    return products.masked_fill(hidden, float("-inf")).softmax(-1)
