"""A visitor's own pictures: files that may be anything, to a gallery that is small and safe to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageOps

from demos.pictures import THUMBNAIL, encode_webp, small_copy
from longclip.gallery import Gallery
from longclip.images import ImageError, open_image

MOST, MOST_PUBLIC = 200, 60
# What is said where pictures are added; how long they stay, `app.CLEANING` and `demos.context.KEEP_SECONDS` see to.
UPLOADED = "Your pictures: they go to the machine of this page, and are removed there about an hour after you last used them"
# What a visitor may send; the library itself reads larger pictures.
LIMITS = {"max_bytes": 20_000_000, "max_pixels": 40_000_000, "max_side": 20_000}
# Pixels of the shorter side that are kept: more than any model here reads.
KEPT_SIDE = 512
# Of a picture longer than this many times its width, the middle is kept: models read the middle square of it.
LONGEST_SHAPE = 8


def read_uploads(files: Sequence[str], most: int = MOST) -> Iterator[tuple[int, int, Gallery | None]]:
    """Decodes uploaded files one by one: yields (done, all, None) after each, and with the last one the gallery.

    Pictures are kept at `KEPT_SIDE` pixels, turned upright, with a thumbnail each. What is refused is named in the
    gallery's `skipped`.
    """
    kept: list[tuple[str, bytes]] = []
    thumbnails: list[str] = []
    skipped: list[str] = []
    taken = files[:most]
    for number, file in enumerate(taken, 1):
        try:
            picture = open_image(file, **LIMITS)
        except ImageError as error:
            skipped.append(str(error))
        else:
            kept.append((Path(file).name, encode_webp(_shrink(picture), quality=95)))
            thumbnails.append(small_copy(picture))
        if number < len(taken):
            yield number, len(taken), None
    if len(files) > most:
        skipped.append(f"{len(files) - most} more files were left out: at most {most} pictures are taken")
    gallery = Gallery.from_pictures(kept, limit=most)
    for fields, thumbnail in zip(gallery.metadata, thumbnails, strict=True):
        fields[THUMBNAIL] = thumbnail
    yield len(taken), len(taken), replace(gallery, skipped=tuple(skipped))


def _shrink(picture: Image.Image) -> Image.Image:
    longest = LONGEST_SHAPE * min(picture.size)
    if max(picture.size) > longest:
        picture = ImageOps.fit(picture, tuple(min(side, longest) for side in picture.size))
    factor = KEPT_SIDE / min(picture.size)
    return picture if factor >= 1 else ImageOps.scale(picture, factor, Image.Resampling.BICUBIC)
