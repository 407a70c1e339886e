"""Prompts as the embeddings that a pipeline's U-Net attends to: read whole, in chunks of 75 tokens, or mixed.

Hidden states are those the pipeline was trained on: the last layer's after the final norm where it has one text encoder
(SD 1.x, 2.x); the last but one's, side by side, where it has two (SDXL), whose second gives the pooled embedding. Pads are the
pipeline's own pad token, up to the 77 positions it was trained on or, where that is more, the longer of prompt and
negative prompt; both sides of the guidance get the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..sentences import split_sentences
from ..tokens import Tokenizer, Tokens
from .text_models import own_tokenizer

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import CLIPTextModel

TRAINED_LENGTH = 77
#: Pieces of a chunked prompt at most: the U-Net's attention grows with them.
MOST_CHUNKS = 16
_ROOM = TRAINED_LENGTH - 2  # start and end token


@dataclass(frozen=True)
class Prompt:
    """What a U-Net is given for a prompt.

    states, negative: [1, L, width]. pooled, negative_pooled: [1, dim] where the pipeline takes them (SDXL). tokens: the
    prompt as it was read; `columns[i]` is where in `states` the token ``tokens.ids[i + 1]`` stands, so that
    ``tokens.spans[i + 1]`` are its characters. Text from ``tokens.unseen_start`` on was not read. `negative_columns`: the same
    of the negative prompt's tokens in `negative`.
    """

    states: Tensor
    negative: Tensor
    pooled: Tensor | None
    negative_pooled: Tensor | None
    tokens: Tokens
    columns: tuple[int, ...]
    negative_columns: tuple[int, ...]


@dataclass(frozen=True)
class Tower:
    """One of a pipeline's text encoders, and how it is read."""

    model: CLIPTextModel
    tokenizer: Tokenizer
    pad: int
    penultimate: bool

    @property
    def length(self) -> int:
        """Tokens it reads at most."""
        return min(self.model.config.max_position_embeddings, self.tokenizer.context_length)

    @torch.inference_mode()
    def states(self, rows: Sequence[Sequence[int]], length: int, clip_skip: int) -> tuple[Tensor, Tensor | None]:
        """Ids of texts, padded to `length` -> hidden states [n, length, width], and pooled [n, dim] where it projects."""
        ids = torch.tensor([[*row, *[self.pad] * (length - len(row))] for row in rows], device=self.model.device)
        output = self.model(ids, output_hidden_states=True)
        if self.penultimate:
            return output.hidden_states[-2 - clip_skip], output.get("text_embeds")
        if clip_skip == 0:
            return output.last_hidden_state, None
        tower = getattr(self.model, "text_model", self.model)
        return tower.final_layer_norm(output.hidden_states[-1 - clip_skip]), None


def embed(
    pipeline: DiffusionPipeline, text: str, negative: str = "", clip_skip: int = 0, length: int = TRAINED_LENGTH
) -> Prompt:
    """A prompt read in one piece; what the text encoder has no position for is cut off.

    clip_skip: so many of the text encoder's last layers are left out. length: what is shorter is filled up to it with pads.
    Raises ValueError where the text encoder has fewer layers, or positions.
    """
    towers = text_towers(pipeline, clip_skip)
    most = min(tower.length for tower in towers)
    if length > most:
        raise ValueError(f"got a length of {length}, wanted at most {most}, the positions of the text encoder")
    read, others = ([tower.tokenizer.with_length(most)(words) for tower in towers] for words in (text, negative))
    length = max(length, *map(len, (*read, *others)))
    sides = [_side(towers, [[tokens.ids] for tokens in side], length, clip_skip) for side in (read, others)]
    columns, negative_columns = (tuple(range(1, len(side[0]) - 1)) for side in (read, others))
    return _finish(pipeline, sides, negative, read[0], columns, negative_columns)


def embed_in_chunks(pipeline: DiffusionPipeline, text: str, negative: str = "", clip_skip: int = 0) -> Prompt:
    """A prompt cut into pieces of at most 75 tokens, each read by itself between a start and an end token, end to end.

    The usual work-around for long prompts with a CLIP of 77 positions. A piece ends with a sentence where it can, else
    with a word, as compel does it. Pooled is what the first piece gives. After `MOST_CHUNKS` pieces the rest is cut off.
    """
    towers = text_towers(pipeline, clip_skip)
    most = MOST_CHUNKS * _ROOM + 2
    read, others = ([tower.tokenizer.with_length(most)(words) for tower in towers] for words in (text, negative))
    cuts, other_cuts = ([_cut(tokens)[:MOST_CHUNKS] for tokens in side] for side in (read, others))
    count = max(map(len, (*cuts, *other_cuts)))
    sides = [
        _side(towers, [_chunks(*cut, count) for cut in zip(*side, strict=True)], TRAINED_LENGTH, clip_skip)
        for side in ((read, cuts), (others, other_cuts))
    ]
    columns, negative_columns = (
        tuple(number * TRAINED_LENGTH + 1 + i for number, piece in enumerate(pieces[0]) for i in range(len(piece)))
        for pieces in (cuts, other_cuts)
    )
    if len(columns) < len(read[0]) - 2:
        read[0] = towers[0].tokenizer.with_length(len(columns) + 2)(text)
    return _finish(pipeline, sides, negative, read[0], columns, negative_columns)


def mix(chunked: Prompt, whole: Prompt, share: float) -> Prompt:
    """`share` of the states of `whole` and the rest of `chunked`, token by token, in the places of `whole`.

    Each token's states in the one are added to the same token's in the other; start, end and pads to those of the first
    chunk and the last. Raises ValueError where the two do not hold the same tokens, and for a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"got a share of {share}, wanted 0 (all of the first) to 1 (all of the second)")
    count = len(whole.columns)
    same_prompt = chunked.tokens.ids[1 : count + 1] == whole.tokens.ids[1 : count + 1]
    if not same_prompt or len(chunked.negative_columns) < len(whole.negative_columns):
        raise ValueError(
            "the two text encoders split this prompt into different tokens: only those of one vocabulary can be mixed"
        )
    places = _places(chunked.columns, len(chunked.states[0]), whole.columns, len(whole.states[0]))
    others = _places(chunked.negative_columns, len(chunked.negative[0]), whole.negative_columns, len(whole.negative[0]))
    return replace(
        whole,
        states=torch.lerp(chunked.states[:, places], whole.states, share),
        negative=torch.lerp(chunked.negative[:, others], whole.negative, share),
        pooled=None if whole.pooled is None else torch.lerp(chunked.pooled, whole.pooled, share),
        negative_pooled=None if whole.pooled is None else torch.lerp(chunked.negative_pooled, whole.negative_pooled, share),
    )


def text_towers(pipeline: DiffusionPipeline, clip_skip: int = 0) -> list[Tower]:
    """A pipeline's text encoders. Raises ValueError where they are none of CLIP's, or have not so many layers to leave out."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    parts = [(getattr(pipeline, f"text_encoder{n}", None), getattr(pipeline, f"tokenizer{n}", None)) for n in ("", "_2")]
    present = [(model, tokenizer) for model, tokenizer in parts if model is not None]
    wrong = [model for model, _ in present if not isinstance(model, (CLIPTextModel, CLIPTextModelWithProjection))]
    if not present or wrong or getattr(pipeline, "text_encoder_3", None) is not None:
        found = f"reads its prompts with {type(wrong[0]).__name__}" if wrong else "has no text encoder of CLIP alone"
        raise ValueError(
            f"{type(pipeline).__name__} {found}: wanted a pipeline of Stable Diffusion 1.x, 2.x or SDXL, which read with CLIP's"
        )
    two = len(present) == 2
    for model, _ in present:
        layers = model.config.num_hidden_layers
        if not 0 <= clip_skip <= layers - 1 - two:
            raise ValueError(
                f"got a clip skip of {clip_skip}, wanted 0 to {layers - 1 - two}: the text encoder has {layers} layers"
            )
    return [Tower(model, own_tokenizer(tokenizer), tokenizer.pad_token_id, two) for model, tokenizer in present]


def _places(from_columns: Sequence[int], from_length: int, columns: Sequence[int], length: int) -> Tensor:
    """Where each of `length` positions, whose tokens stand in `columns`, has its counterpart in a chunked prompt, [length]."""
    count = len(columns)
    places = torch.zeros(length, dtype=torch.long)
    places[1 : count + 1] = torch.tensor(from_columns[:count], dtype=torch.long)
    # Behind the last token of its chunk, which where the whole prompt was cut is not the last of the chunk.
    chunk = from_columns[count - 1] // TRAINED_LENGTH if count else 0
    first_behind = max((column for column in from_columns if column // TRAINED_LENGTH == chunk), default=0) + 1
    places[count + 1 :] = torch.arange(first_behind, first_behind + length - count - 1).clamp(max=from_length - 1)
    return places


def _cut(tokens: Tokens) -> list[range]:
    """The pieces of a text as ranges of its ids, start and end not counted; at least one, if an empty one."""
    inner, spans = range(1, len(tokens) - 1), tokens.spans
    ends = {end for _, end in split_sentences(tokens.text)}
    pieces, first = [], inner.start
    while inner.stop - first > _ROOM:
        places = range(first + _ROOM, first, -1)
        after_sentence = (place for place in places if spans[place - 1][1] in ends)
        between_words = (place for place in places if spans[place - 1][1] < spans[place][0])
        last = next(after_sentence, None) or next(between_words, None) or first + _ROOM
        pieces.append(range(first, last))
        first = last
    return [*pieces, range(first, inner.stop)]


def _chunks(tokens: Tokens, pieces: Sequence[range], count: int) -> list[list[int]]:
    """The ids of each piece between start and end; empty pieces up to `count`."""
    start, end = tokens.ids[0], tokens.ids[-1]
    rows = [[start, *(tokens.ids[i] for i in piece), end] for piece in pieces]
    return rows + [[start, end]] * (count - len(rows))


def _side(
    towers: Sequence[Tower], texts: Sequence[Sequence[Sequence[int]]], length: int, clip_skip: int
) -> tuple[Tensor, Tensor | None]:
    """For each tower the pieces of a text: states [1, pieces * length, widths], and pooled of the first piece."""
    read = [tower.states(pieces, length, clip_skip) for tower, pieces in zip(towers, texts, strict=True)]
    states = torch.cat([states.flatten(0, 1)[None] for states, _ in read], dim=-1)
    pooled = read[-1][1]
    return states, None if pooled is None else pooled[:1]


def _finish(
    pipeline: DiffusionPipeline,
    sides: Sequence[tuple[Tensor, Tensor | None]],
    negative: str,
    tokens: Tokens,
    columns: tuple[int, ...],
    negative_columns: tuple[int, ...],
) -> Prompt:
    (states, pooled), (without, without_pooled) = sides
    if not negative and getattr(pipeline.config, "force_zeros_for_empty_prompt", False):
        # What SDXL was trained with where nothing is said.
        without = torch.zeros_like(without)
        without_pooled = None if without_pooled is None else torch.zeros_like(without_pooled)
    return Prompt(states, without, pooled, without_pooled, tokens, columns, negative_columns)
