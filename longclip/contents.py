"""What names contents: of a file, hashed once as long as it is not changed; of a picture, the pixels that a model would see."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from threading import Lock

from PIL import Image

from longclip.images import Picture, open_image, read_bytes

# Nanoseconds for which a change may go unseen in a file's times: a file as young as that is read each time.
_YOUNG = 2_000_000_000
# Files whose pictures' keys are remembered.
_FILES = 1 << 17
_keys: OrderedDict[str, bytes] = OrderedDict()
_lock = Lock()
# A picture that Pillow has opened is read when it is first used, and its file cannot be read by two threads at once.
_opening = Lock()


def hash_content(content: bytes) -> str:
    """40 hexadecimal digits that name these bytes."""
    return hashlib.blake2b(content, digest_size=20).hexdigest()


def stamp_of(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """A file's size and its times of change, of the content and of the entry: other ones wherever the content is another.

    The second cannot be set back, as tools do with the first when they copy. Raises OSError.
    """
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def hash_file(path: str | os.PathLike[str]) -> str:
    """`hash_content` of a file; it is read again only where its `stamp_of` is another. Raises OSError."""
    stamp = stamp_of(path)
    if time.time_ns() - max(stamp[1:]) < _YOUNG:
        return hash_content(Path(path).read_bytes())
    return _hash_known(os.path.abspath(path), stamp)


@lru_cache(maxsize=1 << 16)
def _hash_known(path: str, stamp: tuple[int, int, int]) -> str:
    return hash_content(Path(path).read_bytes())


def picture_key(picture: Picture) -> tuple[bytes, Image.Image | None]:
    """20 bytes that name a picture by what a model sees of it, decoded, upright and RGB; and that, where it was decoded.

    The bytes of a file, the file itself and what Pillow opens of it have the same key; a file that is known by its content is
    not decoded again. Raises ImageError as `longclip.images.open_image` does.
    """
    if isinstance(picture, Image.Image):
        with _opening:
            image = open_image(picture)
        return _hash_pixels(image), image
    content = read_bytes(picture)
    name = hash_content(content)
    with _lock:
        if name in _keys:
            _keys.move_to_end(name)
            return _keys[name], None
    image = open_image(content if isinstance(picture, bytes) else picture)
    key = _hash_pixels(image)
    with _lock:
        _keys[name] = key
        if len(_keys) > _FILES:
            _keys.popitem(last=False)
    return key, image


def _hash_pixels(image: Image.Image) -> bytes:
    digest = hashlib.sha256(repr(image.size).encode())
    digest.update(image.tobytes())
    return digest.digest()[:20]
