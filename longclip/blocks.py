"""One fast loop over the blocks of an open_clip transformer, for text and for images, on open_clip's own weights.

open_clip sends each block through `nn.MultiheadAttention` with a mask and computes every row of the last block. Here
one matrix product makes queries, keys and values, attention is causal without a mask, rows are packed (see
`longclip.packing`), and the last block computes only the rows that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, Transformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from longclip.packing import Group

QUICK = 1.702  # QuickGELU(x) = x * sigmoid(1.702 x)


def is_plain(transformer: nn.Module) -> bool:
    """Whether `run_blocks` computes what this transformer's own `forward` computes."""
    return type(transformer) is Transformer and all(_is_plain_block(block) for block in transformer.resblocks)


def _is_plain_block(block: nn.Module) -> bool:
    return (
        type(block) is ResidualAttentionBlock
        and not hasattr(block, "ln_1_kv")
        and type(block.attn) is nn.MultiheadAttention
        and block.attn.in_proj_weight is not None
        and block.attn.in_proj_bias is not None
        and block.attn.bias_k is None
        and not block.attn.add_zero_attn
        and block.attn.dropout == 0.0
        and type(block.mlp.c_fc) is nn.Linear
        and type(block.mlp.c_proj) is nn.Linear
    )


def run_blocks(
    transformer: Transformer,
    x: Tensor,
    groups: Sequence[Group],
    causal: bool,
    pooled: Tensor | None = None,
    keep: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Run packed rows through all blocks; differentiable, in the precision of `x` and the weights (autocast too).

    x: [rows, width], sequences end to end, `groups` saying how: rows = sum of count * length.
    causal: a row sees itself and the rows before it in its sequence; otherwise all rows of its sequence.
    pooled: [sequences], one position per sequence, counted from its start. The last block then computes keys and
        values of all rows, but queries, output and MLP only of these, and the result is [sequences, width].
    keep: called with (block number, hidden state [rows, width]) after every block.

    Returns [rows, width], or [sequences, width] with `pooled`.
    """
    last = len(transformer.resblocks) - 1
    for number, block in enumerate(transformer.resblocks):
        positions = pooled if number == last else None
        if transformer.grad_checkpointing and torch.is_grad_enabled():
            x = checkpoint(run_block, block, x, groups, causal, positions, use_reentrant=False)
        else:
            x = run_block(block, x, groups, causal, positions)
        if keep is not None:
            keep(number, x)
    return x


def run_block(block: ResidualAttentionBlock, x: Tensor, groups: Sequence[Group], causal: bool, pooled: Tensor | None) -> Tensor:
    """One block of `run_blocks`."""
    normed = block.ln_1(x)
    if pooled is None:
        mixed = _attend(block.attn, normed, groups, causal)
    else:
        rows = _starts(groups, x.device) + pooled
        x = x[rows]
        mixed = _attend_pooled(block.attn, normed, normed[rows], groups, pooled if causal else None)
    x = x + block.ls_1(F.linear(mixed, block.attn.out_proj.weight, block.attn.out_proj.bias))
    return x + block.ls_2(_expand(block.mlp, block.ln_2(x)))


def _attend(attn: nn.MultiheadAttention, x: Tensor, groups: Sequence[Group], causal: bool) -> Tensor:
    """Attention before its output projection: [rows, width] -> [rows, width]."""
    width = x.shape[1]
    fused = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
    mixed = []
    for (count, length), part in zip(groups, fused.split([count * length for count, length in groups]), strict=True):
        q, k, v = part.view(count, length, 3, attn.num_heads, attn.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        mixed.append(out.transpose(1, 2).reshape(-1, width))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def _attend_pooled(
    attn: nn.MultiheadAttention, x: Tensor, x_pooled: Tensor, groups: Sequence[Group], ends: Tensor | None
) -> Tensor:
    """Attention of one row per sequence: rows [rows, width] and their pooled ones [n, width] -> [n, width].

    ends: [n] the last position each query sees, None for all.
    """
    width = x.shape[1]
    weight, bias = attn.in_proj_weight, attn.in_proj_bias
    queries = F.linear(x_pooled, weight[:width], bias[:width])
    fused = F.linear(x, weight[width:], bias[width:])
    counts = [count for count, _ in groups]
    sees = [None] * len(groups) if ends is None else ends.split(counts)
    parts = fused.split([count * length for count, length in groups])
    mixed = []
    for (count, length), part, query, end in zip(groups, parts, queries.split(counts), sees, strict=True):
        k, v = part.view(count, length, 2, attn.num_heads, attn.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        mask = None if end is None else (torch.arange(length, device=x.device) <= end[:, None])[:, None, None]
        out = F.scaled_dot_product_attention(query.view(count, attn.num_heads, 1, attn.head_dim), k, v, attn_mask=mask)
        mixed.append(out.reshape(count, width))
    return torch.cat(mixed)


def _expand(mlp: nn.Sequential, x: Tensor) -> Tensor:
    """The block's MLP. QuickGELU(h) is silu(c h) / c: the matrix products take the factors, and one pass is left of three."""
    if type(mlp.gelu) is not QuickGELU:
        return mlp(x)
    hidden = torch.addmm(mlp.c_fc.bias, x, mlp.c_fc.weight.T, beta=QUICK, alpha=QUICK)
    hidden = F.silu(hidden, inplace=not torch.is_grad_enabled())
    return torch.addmm(mlp.c_proj.bias, hidden, mlp.c_proj.weight.T, alpha=1 / QUICK)


def _starts(groups: Sequence[Group], device: torch.device) -> Tensor:
    """[sequences] the row at which each sequence starts."""
    lengths = torch.tensor([length for count, length in groups for _ in range(count)])
    return (torch.cumsum(lengths, 0) - lengths).to(device)
