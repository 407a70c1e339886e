"""COCO captions (arXiv 1504.00325): ``captions_train2017.json`` and its like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..pairs import DataError, Pair
from .paths import find_beside, join_within
from .records import load_json


def read_coco(path: Path, pictures: Path | None, left_out: Counter[str]) -> Iterator[Pair]:
    """One pair a picture, with all that its annotators wrote of it.

    Without `pictures` they are looked for where COCO's archives unpack them: in ``train2017`` beside or above the file.
    """
    content = load_json(path)
    root = pictures or find_beside(path, path.stem.rpartition("_")[2])
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        captions: dict[int, list[str]] = {image: [] for image in names}
        for annotation in content["annotations"]:
            text = annotation["caption"].strip()
            if text and annotation["image_id"] in captions:
                captions[annotation["image_id"]].append(text)
            else:
                left_out["annotations without words or picture"] += 1
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a file of COCO captions ({type(error).__name__}: {error}): wanted images with id and file_name, "
            "and annotations with image_id and caption"
        ) from None
    for image, texts in captions.items():
        if texts:
            yield Pair(join_within(root, names[image], f"image {image} of {path}"), tuple(texts))
        else:
            left_out["pictures without caption"] += 1
