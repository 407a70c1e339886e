"""Texts and pictures of a visitor's, placed on both maps without fitting them anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demos.context import Context
from demos.maps.view import View
from longclip.projection import Map
from longclip.sentences import split_sentences


@dataclass(frozen=True)
class Placed:
    """Something placed: what it is called, its vector by each model, and its point on each map, float [2]."""

    label: str
    vectors: tuple[np.ndarray, ...]
    points: tuple[np.ndarray, ...]


def place(context: Context, view: View, maps: list[Map]) -> list[Placed]:
    """What the view places: the caption whole, cut where the first model stops reading, and its first sentence; the picture.

    Raises Unavailable.
    """
    found = []
    encoders = [context.encoder(name) for name in view.models]
    if view.caption.strip():
        versions = cut_versions(view.caption, min(encoders, key=lambda encoder: encoder.context_length).tokenizer)
        embedded = [encoder.encode_text([text for _, text in versions]) for encoder in encoders]
        found += _on_maps([label for label, _ in versions], embedded, maps)
    if view.upload:
        embedded = [context.embedded("pictures", view.upload, name) for name in view.models]
        found += _on_maps(["your picture"], embedded, maps)
    return found


def cut_versions(caption: str, tokenizer) -> list[tuple[str, str]]:
    """(name, text) of the caption: whole, as far as the tokenizer's model reads it, and its first sentence; no text twice."""
    versions = [("whole", caption)]
    tokens = tokenizer(caption)
    if tokens.unseen.strip():
        versions.append((f"first {tokenizer.context_length} tokens", caption[: tokens.unseen_start].rstrip()))
    sentences = split_sentences(caption)
    if len(sentences) > 1:
        first = caption[: sentences[0][1]]
        if len(first) < len(versions[-1][1]):
            versions.append(("first sentence", first))
    return versions


def _on_maps(labels: list[str], embedded: list[np.ndarray], maps: list[Map]) -> list[Placed]:
    points = [drawn.place(vectors) for drawn, vectors in zip(maps, embedded, strict=True)]
    return [
        Placed(label, tuple(vectors[number] for vectors in embedded), tuple(where[number] for where in points))
        for number, label in enumerate(labels)
    ]
