"""Where the browser finds a gallery's pictures: as files that this app serves, or as small copies within the page."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageOps

from demos.pieces import visible
from longclip.gallery import Gallery
from longclip.images import ImageError, open_image
from longclip.registry import assets

# Field of a gallery's row that holds a small copy of the picture as a data URI.
THUMBNAIL = "thumbnail"
SIDE = 224
# Small copies kept of pictures that are not served.
_KEPT = 400


def picture_source(gallery: Gallery, row: int) -> str:
    """Where the browser finds a picture: the copy in its metadata, a file this app serves, or a copy made now.

    Only the picture book's folder is served: a gallery from elsewhere shows its own pictures, and nothing beside them.
    """
    copy = gallery.metadata[row].get(THUMBNAIL)
    if isinstance(copy, str) and copy.startswith("data:image/"):  # another address would be a request to somebody else
        return copy
    picture = gallery.pictures[row]
    if isinstance(picture, Path) and picture.is_relative_to(assets()):
        return "gradio_api/file=" + quote(str(picture))
    return _copy(picture)


def picture_tag(gallery: Gallery, row: int) -> str:
    """The picture with its short caption (or its name) as the alternative text."""
    alt = visible(gallery.short_captions[row] or gallery.ids[row])
    source = escape(picture_source(gallery, row))
    return f'<img src="{source}" alt="{alt}" width="256" height="256" loading="lazy" decoding="async">'


def small_copy(picture: Image.Image) -> str:
    """A small square copy of a picture as a data URI."""
    return "data:image/webp;base64," + base64.b64encode(encode_webp(ImageOps.fit(picture, (SIDE, SIDE)), 80)).decode()


def encode_webp(picture: Image.Image, quality: int) -> bytes:
    """A picture as the bytes of a WebP file."""
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality)
    return file.getvalue()


@lru_cache(_KEPT)
def _copy(picture: Path | bytes) -> str:
    """A copy of a picture's file; an empty one for what can no longer be read."""
    try:
        return small_copy(open_image(picture))
    except ImageError:
        return "data:,"
