"""What names a picture: what a model sees of it, whatever holds it."""

from __future__ import annotations

import io
import os
import time

import numpy as np
import pytest
from PIL import Image, ImageOps

import longclip
from longclip import contents
from longclip.contents import hash_content, hash_file, picture_key

DOTS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def palette(colours: list[int]) -> Image.Image:
    image = Image.new("P", (4, 4), 0)
    image.putdata([0, 1] * 8)
    image.putpalette(colours)
    return image


def see_through(level: int) -> Image.Image:
    image = palette([255, 0, 0, 0, 0, 255])
    image.info["transparency"] = bytes([255, level])
    return image


def turned(orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.open(io.BytesIO(saved(Image.fromarray(DOTS), exif=exif)))


def deep(top: int) -> Image.Image:
    values = np.linspace(0, top, 54).astype(np.uint16).reshape(6, 9)
    values[0, 0] = 65535
    return Image.fromarray(values)


SIBLINGS = {
    "palettes of the same numbers": (palette([0, 0, 0, 255, 0, 0]), palette([0, 0, 0, 0, 255, 0])),
    "turned by EXIF": (turned(1), turned(6)),
    "mirrored by EXIF": (turned(1), turned(2)),
    "more or less transparent": (see_through(255), see_through(20)),
    "16 bits that share their upper ones": (deep(40_000), deep(60_000)),
    "the same bytes in another shape": (Image.new("RGB", (4, 9), "red"), Image.new("RGB", (9, 4), "red")),
    "the same bytes in another mode": (
        Image.frombytes("L", (12, 4), bytes(range(48))),
        Image.frombytes("RGB", (4, 4), bytes(range(48))),
    ),
}


@pytest.fixture(scope="module")
def encoder(tiny_model_folder):
    return longclip.load(tiny_model_folder(77))


@pytest.mark.parametrize("what", SIBLINGS)
def test_pictures_that_look_different_share_no_embedding(what, encoder):
    """Held against each picture alone, made RGB and upright by hand and encoded without a cache."""
    encoder.cache.clear()
    pair = SIBLINGS[what]
    found = encoder.encode_image(pair)
    alone = longclip.Encoder(encoder.spec, encoder.model, encoder.tokenizer, encoder.preprocessing)
    assert np.allclose(found, np.stack([alone.encode_image(image.copy()) for image in pair]), atol=1e-6)
    assert picture_key(pair[0])[0] != picture_key(pair[1])[0]
    if what.endswith("EXIF"):
        by_hand = [ImageOps.exif_transpose(image).convert("RGB") for image in pair]
        assert np.allclose(found, alone.encode_image(by_hand), atol=1e-6) and not np.allclose(found[0], found[1], atol=1e-2)


@pytest.mark.parametrize(
    "image", [*(image for pair in SIBLINGS.values() for image in pair), Image.fromarray(DOTS)], ids=lambda image: image.mode
)
def test_a_file_its_bytes_and_its_picture_are_one(image, tmp_path, encoder):
    """Kept without loss, in two formats, with the orientation and the transparency that they have."""
    content = saved(image, **({"exif": image.getexif()} if image.getexif() else {}))
    path = tmp_path / "a.png"
    path.write_bytes(content)
    lossless = saved(Image.open(path).convert("RGBA") if "transparency" in image.info else Image.open(path), "TIFF")
    ways = [path, str(path), content, Image.open(path), Image.open(io.BytesIO(content))]
    if not image.getexif():
        ways.append(lossless)
    assert len({picture_key(way)[0] for way in ways}) == 1
    encoder.cache.clear()
    encoder.encode_image(ways, batch_size=1)
    assert len(encoder.cache) == 1


def test_known_files_are_not_decoded_again(monkeypatch, tmp_path):
    content = saved(Image.fromarray(DOTS + 1))
    key, image = picture_key(content)
    assert image.size == (9, 6)
    (tmp_path / "a").write_bytes(content)
    monkeypatch.setattr(contents, "open_image", None)
    assert picture_key(tmp_path / "a") == (key, None)


def test_one_picture_of_pillow_in_several_places_is_read_once(encoder, tmp_path):
    """It is read from its file when it is first used; threads must not do that at the same time."""
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    for _ in range(5):
        image = Image.open(tmp_path / "a.png")
        assert len({row.tobytes() for row in encoder.encode_image([image] * 20)}) == 1


def test_a_file_is_read_again_where_it_changed(tmp_path, monkeypatch):
    """Of the same size, with its time set back, and in the very moment in which it was written."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    os.utime(path, ns=(10, 10))
    assert hash_file(path) == hash_content(b"one")
    path.write_bytes(b"two")
    os.utime(path, ns=(10, 10))
    assert hash_file(path) == hash_content(b"two")
    later = time.time_ns() + 3_600_000_000_000
    monkeypatch.setattr(contents.time, "time_ns", lambda: later)  # an hour on, nothing is young
    assert hash_file(path) == hash_content(b"two")
    reads = []
    monkeypatch.setattr(contents, "hash_content", lambda content: reads.append(content) or "")
    hash_file(path)
    assert not reads, "and not where it did not"
    with pytest.raises(OSError):
        hash_file(tmp_path / "none")
