"""One fast loop over the blocks of an open_clip transformer, for text and for images, on open_clip's own weights.

open_clip sends each block through `nn.MultiheadAttention` with a mask and computes every row of the last block. Here
one matrix product makes queries, keys and values, attention is causal without a mask, rows are packed (see
`longclip.packing`), the last block computes only the rows that are read, and sequences that begin alike can share the
keys and values of their beginning (`Prefix`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, Transformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from longclip.packing import Group

QUICK = 1.702  # QuickGELU(x) = x * sigmoid(1.702 x)


Past = Sequence[tuple[Tensor, Tensor]]
"""For each group the keys and the values, [heads, p, head_dim], of the p rows that stand before its sequences' own."""


@dataclass(frozen=True)
class Prefix:
    """What a sequence leaves in every block for others that begin as it does: keys and values [heads, length, head_dim]."""

    keys: Sequence[Tensor]
    values: Sequence[Tensor]

    def past(self, number: int, shared: Sequence[int]) -> Past:
        """Of block `number`, the first ``shared[i]`` positions for group i."""
        keys, values = self.keys[number], self.values[number]
        return [(keys[:, :count], values[:, :count]) for count in shared]


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
    prefix: Prefix | None = None,
    shared: Sequence[int] = (),
) -> Tensor:
    """Run packed rows through all blocks; differentiable, in the precision of `x` and the weights (autocast too).

    x: [rows, width], sequences end to end, `groups` saying how: rows = sum of count * length.
    causal: a row sees itself and the rows before it in its sequence; otherwise all rows of its sequence.
    pooled: [sequences], one position per sequence, counted from its start. The last block then computes keys and
        values of all rows, but queries, output and MLP only of these, and the result is [sequences, width].
    keep: called with (block number, hidden state [rows, width]) after every block.
    prefix: rows that were computed before. The sequences of group i then go on behind its first ``shared[i]`` positions,
        which they all see; `causal` only. `pooled` counts from the first row that is given.

    Returns [rows, width], or [sequences, width] with `pooled`.
    """
    last = len(transformer.resblocks) - 1
    for number, block in enumerate(transformer.resblocks):
        positions = pooled if number == last else None
        past = None if prefix is None else prefix.past(number, shared)
        if transformer.grad_checkpointing and torch.is_grad_enabled():
            x = checkpoint(run_block, block, x, groups, causal, positions, past, use_reentrant=False)
        else:
            x = run_block(block, x, groups, causal, positions, past)
        if keep is not None:
            keep(number, x)
    return x


def read_prefix(transformer: Transformer, x: Tensor) -> Prefix:
    """Run one sequence, rows [length, width], through all blocks and keep what others that begin as it does need of it."""
    states = [x]
    run_blocks(transformer, x, [(1, len(x))], causal=True, keep=lambda _, state: states.append(state))
    keys, values = [], []
    for block, state in zip(transformer.resblocks, states[:-1], strict=True):
        attn, width = block.attn, x.shape[1]
        fused = F.linear(block.ln_1(state), attn.in_proj_weight[width:], attn.in_proj_bias[width:])
        k, v = fused.view(len(x), 2, attn.num_heads, attn.head_dim).permute(1, 2, 0, 3).unbind(0)
        keys.append(k)
        values.append(v)
    return Prefix(keys, values)


def run_block(
    block: ResidualAttentionBlock,
    x: Tensor,
    groups: Sequence[Group],
    causal: bool,
    pooled: Tensor | None,
    past: Past | None = None,
) -> Tensor:
    """One block of `run_blocks`."""
    normed = block.ln_1(x)
    if pooled is None:
        mixed = _attend(block.attn, normed, groups, causal, past)
    else:
        rows = _starts(groups, x.device) + pooled
        x = x[rows]
        mixed = _attend_pooled(block.attn, normed, normed[rows], groups, pooled if causal else None, past)
    x = x + block.ls_1(F.linear(mixed, block.attn.out_proj.weight, block.attn.out_proj.bias))
    return x + block.ls_2(_expand(block.mlp, block.ln_2(x)))


def _attend(attn: nn.MultiheadAttention, x: Tensor, groups: Sequence[Group], causal: bool, past: Past | None = None) -> Tensor:
    """Attention before its output projection: [rows, width] -> [rows, width]."""
    width = x.shape[1]
    fused = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
    mixed = []
    parts = fused.split([count * length for count, length in groups])
    for (count, length), part, before in zip(groups, parts, past or [None] * len(groups), strict=True):
        q, k, v = part.view(count, length, 3, attn.num_heads, attn.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        if before is None:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        else:
            k, v = _behind(before, k, v)
            seen = torch.ones(length, k.shape[2], dtype=torch.bool, device=x.device).tril(k.shape[2] - length)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        mixed.append(out.transpose(1, 2).reshape(-1, width))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def _attend_pooled(
    attn: nn.MultiheadAttention,
    x: Tensor,
    x_pooled: Tensor,
    groups: Sequence[Group],
    ends: Tensor | None,
    past: Past | None = None,
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
    befores = past or [None] * len(groups)
    for (count, length), part, query, end, before in zip(groups, parts, queries.split(counts), sees, befores, strict=True):
        k, v = part.view(count, length, 2, attn.num_heads, attn.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        if before is not None:
            k, v = _behind(before, k, v)
        places = torch.arange(length - k.shape[2], length, device=x.device)
        mask = None if end is None else (places <= end[:, None])[:, None, None]
        out = F.scaled_dot_product_attention(query.view(count, attn.num_heads, 1, attn.head_dim), k, v, attn_mask=mask)
        mixed.append(out.reshape(count, width))
    return torch.cat(mixed)


def _behind(before: tuple[Tensor, Tensor], k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of the sequences of a group, [count, heads, length, head_dim], behind those that they share."""
    keys, values = (kept.expand(len(k), -1, -1, -1) for kept in before)
    return torch.cat([keys, k], 2), torch.cat([values, v], 2)


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
