"""Pictures from files, bytes or PIL to the pixels a model reads, with limits that hold before anything is decoded."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

Picture = str | os.PathLike[str] | bytes | Image.Image

# As Pillow calls them; HEIF is what pillow-heif adds.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
# What the library reads where nobody says otherwise: large photographs and scans, and nothing that fills a machine's memory.
# A picture that is very long costs memory for each of its rows, however few pixels it has.
MAX_BYTES = 500_000_000
MAX_PIXELS = 250_000_000
MAX_SIDE = 100_000
# Bytes at the start of a file that tell its format.
HEAD = 32
_WANTED = "a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"avif", b"avis")


class ImageError(ValueError):
    """A picture that is refused; the message is one sentence for the user."""


def open_image(
    picture: Picture, *, max_bytes: int | None = None, max_pixels: int | None = None, max_side: int | None = None
) -> Image.Image:
    """An RGB picture from a path, the bytes of a file, or a PIL image; the first frame where it has several.

    It is turned as its EXIF data say, 16-bit and floating-point values are scaled to 8 bits, and transparency is laid on
    white. Raises ImageError for a file that is missing, empty, larger than `max_bytes`, of another format, of more than
    `max_pixels` or longer on a side than `max_side` (both read from the header, before decoding), or that cannot be decoded.

    A limit that is not given is the environment's (LONGCLIP_MAX_BYTES, LONGCLIP_MAX_PIXELS, LONGCLIP_MAX_SIDE), or else
    `MAX_BYTES`, `MAX_PIXELS` or `MAX_SIDE`.
    """
    if isinstance(picture, Image.Image):
        name, image = "the picture", picture
    else:
        name = "the picture" if isinstance(picture, bytes) else Path(picture).name
        image = _open(read_bytes(picture, max_bytes=max_bytes), name)
    width, height = image.size
    pixels, side = _limit("MAX_PIXELS", max_pixels), _limit("MAX_SIDE", max_side)
    if width * height > pixels:
        count, limit = width * height / 1e6, pixels / 1e6
        raise ImageError(f"{name} has {count:,.1f} megapixels ({width:,} × {height:,}): at most {limit:,.1f} are read")
    if max(width, height) > side:
        raise ImageError(f"{name} is {width:,} × {height:,} pixels: at most {side:,} on a side are read")
    try:
        image.load()
        return _to_rgb(_upright(image))
    except Exception as error:  # a decoder given damaged bytes raises whatever it stumbles over
        raise ImageError(f"{name} is damaged or incomplete and cannot be decoded ({error})") from error


def read_bytes(picture: str | os.PathLike[str] | bytes, *, max_bytes: int | None = None) -> bytes:
    """The bytes of a file (or those given), refused with an ImageError where there are none or more than `max_bytes`."""
    if isinstance(picture, bytes):
        name, size = "the picture", len(picture)
    else:
        path = Path(picture)
        name = path.name
        try:
            if not path.is_file():
                # A pipe or a device would be read without end.
                found = f"{path} is no regular file" if path.exists() else f"there is no file {path}"
                raise ImageError(f"{found}: wanted {_WANTED}")
            size = path.stat().st_size
        except OSError as error:  # a name that is too long, or a folder that must not be entered
            raise ImageError(f"{name:.80} cannot be read ({error.strerror})") from None
    check_size(size, name, max_bytes)
    if isinstance(picture, bytes):
        return picture
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{name} cannot be read ({error.strerror})") from None


def check_size(size: int, name: str, max_bytes: int | None = None) -> None:
    """Raises ImageError for a picture's file of no bytes, or of more than `max_bytes` (see `open_image`)."""
    limit = _limit("MAX_BYTES", max_bytes)
    if size == 0:
        raise ImageError(f"{name} is empty (0 bytes): wanted {_WANTED}")
    if size > limit:
        raise ImageError(f"{name} has {size / 1e6:,.1f} MB: at most {limit / 1e6:,.1f} MB are read")


def begins_like_picture(head: bytes) -> bool:
    """Whether the first `HEAD` bytes of a file are those of a picture of one of `FORMATS`, whatever the file is called."""
    if head[4:8] == b"ftyp":
        return head[8:12] in _HEIF_BRANDS
    Image.init()
    found = next((format for format in FORMATS if format in Image.OPEN and Image.OPEN[format][1](head[:16]) is True), "")
    # A BMP begins with two letters only; a text about a BMW does too.
    return bool(found) and (found != "BMP" or head[6:10] == bytes(4))


def _limit(name: str, given: int | None) -> int:
    """A limit that was given, or that of the environment, or the library's own."""
    if given is not None:
        return given
    value = os.environ.get(f"LONGCLIP_{name}", "")
    if not value:
        return globals()[name]
    if not value.isdecimal() or not int(value):
        raise ValueError(f"LONGCLIP_{name} is {value!r}: wanted a whole number, 1 or more")
    return int(value)


def _open(content: bytes, name: str) -> Image.Image:
    """The picture, of which only the header is read.

    As `Image.open` does it, but without its look at the size: `open_image` has limits of its own, and a warning cannot be
    silenced in one thread alone.
    """
    Image.init()
    _add_heif()
    for factory, accepts in (Image.OPEN[format] for format in FORMATS if format in Image.OPEN):
        # An answer that is a text says which library is missing.
        if accepts is None or accepts(content[:16]) is True:
            with suppress(Exception):  # a header that is damaged fails in as many ways as there are formats
                return factory(io.BytesIO(content), "")
    if begins_like_picture(content[:HEAD]) and content[4:8] == b"ftyp" and "HEIF" not in Image.OPEN:
        raise ImageError(f"{name} is a HEIC picture, which Pillow reads with pillow-heif only: pip install pillow-heif")
    raise ImageError(f"{name} is not {_WANTED}")


@cache
def _add_heif() -> None:
    """Lets Pillow read HEIC, where pillow-heif is installed."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF data that cannot be read say nothing about the picture's orientation
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _to_8_bit(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey values of 16 or 32 bits or floats, scaled by the range they are kept in, not clipped at 255."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    highest = values.max()
    whole = next((top for top in (1.0, 255.0, 65535.0) if highest <= top), highest)
    top = 65535.0 if image.mode.startswith("I") and highest <= 65535.0 else whole
    return Image.fromarray(np.clip(values * (255.0 / top) + 0.5, 0, 255).astype(np.uint8))
