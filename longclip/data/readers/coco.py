"""COCO captions (arXiv 1504.00325): ``captions_train2017.json`` and its like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..left_out import LeftOut
from ..pairs import DataError, Pair
from .fields import read_texts
from .karpathy import is_karpathys, read_karpathy
from .paths import find_beside, join_within
from .records import load_json

_SPLIT = re.compile(r"(?:^|[_-])(train|val|test)(?:\d{4})?$")


def read_coco(path: Path, pictures: Path | None, left_out: LeftOut) -> Iterator[Pair]:
    """One pair a picture, with all that its annotators wrote of it; Karpathy's file of COCO is read too.

    The split is that of the file's name. Without `pictures` they are looked for where COCO's archives unpack them: in
    ``train2017`` beside or above the file.
    """
    content = load_json(path)
    if is_karpathys(content):
        yield from read_karpathy(path, content, pictures, left_out)
        return
    root = pictures or find_beside(path, path.stem.rpartition("_")[2])
    split = _SPLIT.search(path.stem.lower())
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        if len(names) < len(content["images"]):
            raise DataError(f"{path} has two images of one id")
        captions = _captions(content["annotations"], names, path, left_out)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a file of COCO captions ({type(error).__name__}: {error}): wanted images with id and file_name, "
            "and annotations with image_id and caption"
        ) from None
    for image, texts in captions.items():
        if texts:
            place = join_within(root, names[image], f"image {image} of {path}")
            yield Pair(place, tuple(texts), split=split[1] if split else "")
        else:
            left_out.add("pictures without caption", str(names[image]))


def _captions(annotations: Any, names: dict[Any, str], path: Path, left_out: LeftOut) -> dict[Any, list[str]]:
    """The captions of each image, by its id."""
    captions: dict[Any, list[str]] = {image: [] for image in names}
    for number, annotation in enumerate(annotations, start=1):
        where = f"annotation {number} of {path}"
        texts = read_texts(annotation["caption"], where, "caption")
        if texts and annotation["image_id"] in captions:
            captions[annotation["image_id"]] += texts
        else:
            left_out.add("annotations without words or picture", where)
    return captions
