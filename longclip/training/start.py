"""What a run begins from: its base, stretched where that reads less, or random weights; or why it cannot be trained."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..encoder import load
from ..model import LongCLIP, build_model, with_positions
from ..picturebook.words import all_texts, training_texts
from ..positions import interpolate_positions, stretch_positions
from ..preprocessing import Preprocessing
from ..recipes import OptionError
from ..tokens import Tokenizer
from ..vocabulary import distinct_words, reduce_vocabulary
from .recipe import PICTURE_BOOK, Recipe
from .towers import batch_norms

LONG_CONTEXT = 248
# Kinds of errors that torch, open_clip and timm raise for a configuration that makes no model, or one that cannot run.
_NO_MODEL = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Start:
    """A model before its first step, and what it reads with.

    stretched: whether its table of positions was stretched now. origin: see `run.Run`.
    """

    model: LongCLIP
    tokenizer: Tokenizer
    preprocessing: Preprocessing
    reference: LongCLIP | None = None
    stretched: bool = False
    origin: dict[str, str] = field(default_factory=dict)


def start_model(recipe: Recipe) -> Start:
    """What the recipe begins from, on the CPU. Raises ValueError, in a sentence, for what cannot be trained as it says."""
    if recipe.base is None:
        start = _random_model(recipe)
    else:
        encoder = load(recipe.base, device="cpu")
        model = _stretched(encoder.model, recipe)
        start = Start(
            model,
            encoder.tokenizer.with_length(model.context_length),
            encoder.preprocessing,
            _reference(recipe, model) if recipe.token_states else None,
            model is not encoder.model,
            {"base": encoder.identity},
        )
    _check(start, recipe)
    return start


def _stretched(model: LongCLIP, recipe: Recipe) -> LongCLIP:
    """The model with more text positions (77 become 248), where the recipe wants them and it has fewer than 248."""
    if recipe.stretch == "none" or model.context_length >= LONG_CONTEXT:
        return model
    table = model.positional_embedding.detach()
    if recipe.stretch == "linear":
        return with_positions(model, interpolate_positions(table, LONG_CONTEXT))
    if recipe.keep_rows > len(table) - 2:
        raise OptionError(
            "keep_rows", f"is {recipe.keep_rows}, and {recipe.base} has {len(table)} text positions: wanted fewer"
        )
    return with_positions(model, stretch_positions(table, recipe.keep_rows))


def _reference(recipe: Recipe, model: LongCLIP) -> LongCLIP:
    """The model whose token states are kept, at the positions that it has. Raises OptionError where it does not fit."""
    source = recipe.states_of or recipe.base
    reference = load(source, device="cpu").model
    theirs, ours = (list(each.token_embedding.weight.shape) for each in (reference, model))
    if theirs != ours:
        raise OptionError(
            "states_of", f"{source} has {theirs} as token embeddings; wanted {ours}, as the model that is trained"
        )
    return reference


def _random_model(recipe: Recipe) -> Start:
    try:
        text = recipe.model["text_cfg"]
        if recipe.data == PICTURE_BOOK:
            vocab, merges = reduce_vocabulary(all_texts())
            text = text | {"vocab_size": len(vocab), "hf_tokenizer_name": recipe.name}
            model = build_model({**recipe.model, "text_cfg": text})
            tokenizer = Tokenizer(vocab, merges, model.context_length, distinct_words(training_texts()))
        else:
            model = build_model(recipe.model)
            tokenizer = Tokenizer.full(model.context_length)
    except _NO_MODEL as error:
        what = f"without {error}" if isinstance(error, KeyError) else str(error)
        raise OptionError("model", f"is no open_clip config of a CLIP: {what}") from error
    return Start(model, tokenizer, Preprocessing.from_config(model.visual.image_size))


def _check(start: Start, recipe: Recipe) -> None:
    """Raises ValueError for a model that cannot be trained as the recipe says."""
    model, name = start.model, recipe.base or "a model of this config"
    height, width = start.preprocessing.size
    start.preprocessing.settings()  # which the finished folder holds: what cannot be said there is refused now
    if recipe.data == PICTURE_BOOK and height != width:
        raise OptionError("data", f"is the picture book, whose scenes are square, and {name} reads {width} × {height} pixels")
    dim = model.config["embed_dim"]
    if recipe.objective == "primary-component" and recipe.components >= dim:
        raise OptionError("components", f"is {recipe.components}, and features of {name} are {dim} wide: wanted fewer")
    if recipe.base is None and recipe.chunk and batch_norms(model):
        raise OptionError(
            "chunk", f"is {recipe.chunk}, and {name} has batch normalisation, which learns from whole batches: wanted 0"
        )
    training = model.training
    try:
        with torch.no_grad():
            ids = torch.tensor([start.tokenizer("a picture").ids])
            image = model.eval().encode_image(torch.zeros(1, 3, height, width), normalize=True)
            shapes = [list(image.shape), list(model.encode_text(ids, normalize=True).shape)]
    except _NO_MODEL as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name} cannot be trained: it fails to encode a picture and a text ({reason})") from error
    finally:
        model.train(training)
    if shapes != [[1, dim], [1, dim]]:
        raise ValueError(f"{name} cannot be trained: a picture and a text become {shapes}, wanted [[1, {dim}], [1, {dim}]]")
