"""A query as a weighted sum of texts, pictures and rows of the gallery: ``2:a red boat + 0.5:photo.jpg - snow``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.readers.paths import PICTURE_ENDINGS

if TYPE_CHECKING:
    from ..encoder import Encoder
    from .stored import StoredGallery, Vectors

TEXT, PICTURE, LIKE = "text", "picture", "like"
# A sign that parts two terms has space on both sides, so that hyphens stay in their words; the first may stand alone.
_SIGN = re.compile(r"(?:^\s*|\s)([+\-−–])(?=\s)")
_QUOTED = re.compile(r'"[^"]*"')
# "12:30 at night" is a text and no weight: behind a weight's colon stands no digit.
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(?!\d)\s*")


@dataclass(frozen=True)
class Term:
    """One summand: `kind` says whether `value` is a text, the path of a picture, or the id of a row."""

    weight: float
    kind: str
    value: str


def parse_query(query: str) -> list[Term]:
    """The terms of a query, in their order.

    Terms are parted by + and - with space around them, and may begin with a weight and a colon. One that ends like the name
    of a picture file is a picture, one that begins with ``like:`` the id of a row. Within double quotes all is text. Raises
    ValueError for an empty query or term.
    """
    hidden = _QUOTED.sub(lambda match: "\0" * len(match[0]), query)
    starts = [(match.start(), match.end(), match[1]) for match in _SIGN.finditer(hidden)]
    if not starts or starts[0][0]:
        starts = [(0, 0, "+"), *starts]
    ends = [start for start, _, _ in starts[1:]] + [len(query)]
    return [
        _read_term(query[first:last].strip(), 1.0 if sign == "+" else -1.0, query)
        for (_, first, sign), last in zip(starts, ends, strict=True)
    ]


def embed_query(terms: Sequence[Term], encoder: Encoder, gallery: StoredGallery, vectors: Vectors) -> np.ndarray:
    """The unit vector [dim] of a weighted sum of unit vectors; `vectors` is what rows of the gallery are looked up in.

    Raises ValueError where the terms cancel each other out, ImageError for a picture, GalleryError for an unknown id.
    """
    total = np.zeros(encoder.dim)
    for term in terms:
        if term.kind == LIKE:
            vector = vectors[gallery.find(term.value)]
            if np.isnan(vector[0]):
                raise ValueError(f"{term.value!r} has no embedding to search with: it could not be read")
        elif term.kind == PICTURE:
            vector = encoder.encode_image([Path(term.value).expanduser()])[0]
        else:
            vector = encoder.encode_text([term.value])[0]
        total += term.weight * vector
    length = np.linalg.norm(total)
    if length < 1e-6:
        raise ValueError("the terms of the query cancel each other out: wanted different ones, or other weights")
    return (total / length).astype(np.float32)


def _read_term(text: str, sign: float, query: str) -> Term:
    weight, value = 1.0, text
    if match := _WEIGHT.match(text):
        weight, value = float(match[1]), text[match.end() :]
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    value = value.strip('"') if quoted else value
    if not value.strip():
        raise ValueError(f"the query {query!r} has an empty term: wanted, say, '2:a red boat + 0.5:photo.jpg - snow'")
    if quoted:
        return Term(sign * weight, TEXT, value)
    if value.startswith("like:"):
        return Term(sign * weight, LIKE, value.removeprefix("like:").strip())
    kind = PICTURE if value.lower().endswith(PICTURE_ENDINGS) else TEXT
    return Term(sign * weight, kind, value)
