"""What is measured on: pictures with captions, some of them in families that share a summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..picturebook.pages import Page, draw_pages

SCENES, FAMILIES, FAMILY_SIZE = 1000, 125, 8


@dataclass(frozen=True)
class EvaluationSet:
    """Pictures (paths, bytes or PIL images) with one long caption each, and what else is known of them.

    short: one-sentence captions. families: a name a picture; only pictures of one family are compared with each other.
    classes: the name of what each picture mainly shows.
    """

    name: str
    pictures: Sequence[Any]
    long: Sequence[str]
    short: Sequence[str] = ()
    families: Sequence[str] = ()
    classes: Sequence[str] = ()


def read_sets(
    source: str, seed: int = 0, scenes: int = SCENES, families: int = FAMILIES, split: str = "held-out"
) -> list[EvaluationSet]:
    """The sets that `source` names: "picturebook", which draws its own, or an image folder with a `metadata.jsonl`.

    Raises ValueError or FileNotFoundError for a folder that holds no captions.
    """
    if source != "picturebook":
        return read_folder(Path(source))
    size = FAMILY_SIZE
    return [
        _from_pages("scenes", list(draw_pages(split, seed, scenes))),
        _from_pages("hard families", list(draw_pages(split, seed, families * size, size))),
        _from_pages("late families", list(draw_pages(split, seed, families * size, size, late=True))),
    ]


def read_folder(folder: Path) -> list[EvaluationSet]:
    """An image folder as one set of all its captioned pictures, and one of its families where it has some."""
    from ..gallery import Gallery

    gallery = Gallery.from_folder(folder)
    rows = [number for number, caption in enumerate(gallery.captions) if caption]
    if not rows:
        raise ValueError(f"{folder} has no captions: wanted a metadata.jsonl with file_name and long_caption, caption or text")
    meta = [gallery.metadata[row] for row in rows]

    def column(key: str, chosen: list[int]) -> list[str]:
        values = [meta[i].get(key) or "" for i in chosen]
        return values if all(values) else []

    def subset(name: str, chosen: list[int], families: list[str]) -> EvaluationSet:
        pictures = [gallery.pictures[rows[i]] for i in chosen]
        long = [gallery.captions[rows[i]] for i in chosen]
        return EvaluationSet(name, pictures, long, column("short_caption", chosen), families, column("subject", chosen))

    sets = [subset(folder.name, list(range(len(rows))), [])]
    members = [i for i, row in enumerate(meta) if row.get("family")]
    if members:
        sets.append(subset(f"{folder.name}, within families", members, [meta[i]["family"] for i in members]))
    return sets


def _from_pages(name: str, pages: list[Page]) -> EvaluationSet:
    return EvaluationSet(
        name,
        [page.scene.draw(256) for page in pages],
        [page.long.text for page in pages],
        [page.short.text for page in pages],
        [page.family for page in pages] if pages[0].family else [],
        [page.scene.subject.kind for page in pages],
    )
