"""Pictures as PNG files that carry how they were drawn, and read back from them."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

KEY = "longclip"
LARGEST_FILE, LONGEST_NOTE = 20_000_000, 100_000


def write_png(picture: Image.Image, details: dict[str, Any]) -> bytes:
    """A PNG file with `details` (numbers, texts, lists and dicts of them) in its text."""
    info = PngInfo()
    info.add_itxt(KEY, json.dumps(details))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=info)
    return file.getvalue()


def read_png(data: bytes) -> dict[str, Any]:
    """The details in a PNG file that `write_png` made; the picture itself is not decoded.

    Raises ValueError for a file that is too large, no PNG, or carries no such details.
    """
    if len(data) > LARGEST_FILE:
        raise ValueError(f"the file has {len(data) / 1e6:.0f} MB, wanted a PNG of at most {LARGEST_FILE // 1_000_000} MB")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            note = str(picture.info.get(KEY, ""))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise ValueError("the file is no PNG picture: wanted one that was downloaded from here") from error
    if not note or len(note) > LONGEST_NOTE:
        raise ValueError("the picture does not say how it was drawn: wanted a PNG that was downloaded from here")
    try:
        details = json.loads(note)
    except (ValueError, RecursionError):
        details = None
    if not isinstance(details, dict):
        raise ValueError("what the picture says of how it was drawn cannot be read: wanted a PNG that was downloaded from here")
    return details
