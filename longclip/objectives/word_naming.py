"""Word naming: hidden states of the text tower that tell which word stands there, for pipelines that read them.

Matching asks of a text nothing but the state of its end token; in a small CLIP, what the others say of their words fades from
block to block. Naming words beside it keeps it, as masked language modelling does in DeCLIP (Li et al., arXiv 2110.05208).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def build_namer(width: int, vocabulary: int) -> nn.Linear:
    """The layer that names two words from a state: its own and the one before. It is not part of the trained model."""
    return nn.Linear(width, 2 * vocabulary)


def word_naming_losses(namer: nn.Linear, states: Tensor, ids: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy of the word a token is plus that of the token before, mean over each text's words, [n].

    states: [n, L, width], after the final norm; ids: [n, L]; words: bool [n, L], the tokens that count, never the first of a
    text. A text without words costs nothing. Raises ValueError where shapes differ.
    """
    if states.shape[:2] != ids.shape or words.shape != ids.shape:
        shapes = f"states {list(states.shape)}, ids {list(ids.shape)}, words {list(words.shape)}"
        raise ValueError(f"got {shapes}; wanted [n, L, width] and twice [n, L]")
    texts, columns = words.nonzero(as_tuple=True)
    own, before = namer(states[texts, columns]).float().chunk(2, -1)
    costs = F.cross_entropy(own, ids[texts, columns], reduction="none")
    costs = costs + F.cross_entropy(before, ids[texts, columns - 1], reduction="none")
    return costs.new_zeros(len(ids)).index_add(0, texts, costs) / words.sum(1).clamp(min=1)
