"""Word naming: hidden states of the text tower that say which words stand there, for pipelines that read them.

Matching asks of a text nothing but the state of its end token; in a small CLIP, what the others say of their words fades from
block to block. Here each word's state is to be the sum of fixed random codes: of the word, and, ever fainter, of those before
it, so that a thing's name says its colour too. The same codes at every position, in every model of a vocabulary: what reads
one model's states reads another's, and goes on where the first one's context ends.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Words that a state names, its own first, and how much fainter each is than the one after it.
NAMED, FADING = 4, 0.7
_SEED = 0


def word_codes(vocabulary: int, width: int) -> Tensor:
    """Codes [NAMED, vocabulary, width]: of the word itself, of the one before, and so on; their sum has variance 1."""
    codes = torch.randn(NAMED, vocabulary, width, generator=torch.Generator().manual_seed(_SEED))
    share = FADING ** torch.arange(NAMED)
    return codes * (share / share.norm()).view(-1, 1, 1)


def word_naming_loss(states: Tensor, ids: Tensor, words: Tensor, codes: Tensor) -> Tensor:
    """Mean squared distance of a text's words' states from the sums of their codes, mean of all texts; 1: they say nothing.

    states: [n, L, width], after the final norm; ids: [n, L]; words: bool [n, L], the tokens that count. What stands before
    the first token of a text counts as that token. A text without words costs nothing. Raises ValueError where shapes differ.
    """
    if states.shape[:2] != ids.shape or words.shape != ids.shape or states.shape[2] != codes.shape[2]:
        shapes = f"states {list(states.shape)}, ids {list(ids.shape)}, words {list(words.shape)}, codes {list(codes.shape)}"
        raise ValueError(f"got {shapes}; wanted [n, L, width], twice [n, L], and [{NAMED}, vocabulary, width]")
    texts, columns = words.nonzero(as_tuple=True)
    wanted = sum(codes[back][ids[texts, (columns - back).clamp(min=0)]] for back in range(len(codes)))
    costs = (states[texts, columns] - wanted).square().mean(1)
    return (states.new_zeros(len(ids)).index_add(0, texts, costs) / words.sum(1).clamp(min=1)).mean()
