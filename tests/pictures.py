"""Files of pictures, good and hostile."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image


def picture_file(folder: Path, name: str, image: Image.Image, **settings) -> str:
    image.save(folder / name, **settings)
    return str(folder / name)


def hollow_png(width: int, height: int) -> bytes:
    """A small valid PNG of many black pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
