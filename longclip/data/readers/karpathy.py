"""Karpathy's files of Flickr30k, Flickr8k and COCO (``dataset_flickr30k.json``): captions with the splits the field uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..left_out import LeftOut
from ..pairs import DataError, Pair
from ..splits import split_name
from .fields import read_texts
from .paths import find_beside, join_within

_FOLDERS = ("flickr30k-images", "flickr30k_images", "Flicker8k_Dataset", "Flickr8k_Dataset")


def is_karpathys(content: dict[str, Any]) -> bool:
    """Whether a JSON file's object is one of his: its images hold their sentences."""
    images = content.get("images")
    return isinstance(images, list) and any(isinstance(image, dict) and "sentences" in image for image in images[:1])


def read_karpathy(path: Path, content: dict[str, Any], pictures: Path | None, left_out: LeftOut) -> Iterator[Pair]:
    """One pair a picture, with its sentences and its split: train, restval, val or test.

    Without `pictures` they are looked for in ``flickr30k-images``, and for COCO in ``val2014`` and its like, beside the file
    or above it.
    """
    images = content.get("images")
    for number, image in enumerate(images if isinstance(images, list) else [], start=1):
        where = f"image {number} of {path}"
        try:
            folder, name, split = image.get("filepath") or "", image["filename"], image.get("split") or ""
            texts = [text for sentence in image["sentences"] for text in read_texts(sentence, where, "sentences")]
        except (KeyError, TypeError, AttributeError):
            raise DataError(f"{where} is not as Karpathy's: wanted filename, split, and sentences with raw") from None
        if not isinstance(name, str) or not isinstance(folder, str):
            raise DataError(f"{where} names {name!r:.40} as its picture, wanted a file name")
        if len(texts) < len(image["sentences"]):
            left_out.add("sentences without words", where)
        if texts:
            root = pictures or (find_beside(path, folder).parent if folder else find_beside(path, *_FOLDERS))
            if folder and not pictures and root == path.parent.parent and not (root / folder).is_dir():
                root = path.parent
            yield Pair(join_within(root, str(Path(folder, name)), where), tuple(texts), split=split_name(str(split)))
        else:
            left_out.add("pictures without caption", name)
