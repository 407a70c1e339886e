from __future__ import annotations

import io
import os
import warnings

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from pictures import hollow_png
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from pillow_heif import register_heif_opener

from longclip.images import HEAD, ImageError, begins_like_picture, open_image, read_bytes
from longclip.preprocessing import Preprocessing

register_heif_opener()


def saved(image: Image.Image, format: str = "PNG", **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_formats_from_path_bytes_and_pil(tmp_path, format):
    content = saved(noise(20, 10), format)
    path = tmp_path / "picture"
    path.write_bytes(content)
    for picture in (path, str(path), content, Image.open(io.BytesIO(content))):
        image = open_image(picture)
        assert image.mode == "RGB" and image.size == (20, 10)


def test_png_is_exact():
    image = noise(9, 7)
    assert np.array_equal(np.asarray(open_image(saved(image))), np.asarray(image))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"these are words", "is not a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture"),
        (b"%PDF-1.7\n", "is not a JPEG"),
        (saved(noise(300, 300), "JPEG")[:5000], "damaged or incomplete"),
        (saved(noise(300, 300), "PNG")[:5000], "damaged or incomplete"),
        (saved(noise(64, 64), "WEBP")[:200], "is not|damaged"),
        (hollow_png(20_000, 20_000), r"400.0 megapixels \(20,000 × 20,000\): at most 250.0"),
        (hollow_png(1, 100_001), r"1 × 100,001 pixels: at most 100,000 on a side"),
        (hollow_png(100_001, 1), r"100,001 × 1 pixels: at most 100,000 on a side"),
    ],
)
def test_refusals_are_sentences(tmp_path, content, message):
    path = tmp_path / "notes.jpg"
    path.write_bytes(content)
    for picture in (path, content):
        with pytest.raises(ImageError, match=message) as caught:
            open_image(picture)
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match="^notes.jpg"):
        open_image(path)


def test_the_bomb_is_a_small_file():
    assert len(hollow_png(13_000, 13_000)) < 30_000


@pytest.mark.parametrize("side", [13_000, 20_000])
def test_the_bomb_is_refused_before_decoding_and_without_a_warning(monkeypatch, side):
    """Of the two sizes Pillow would warn at one and raise at the other."""
    monkeypatch.setattr(PngImageFile, "load", None)
    with warnings.catch_warnings(record=True) as caught, pytest.raises(ImageError, match="megapixels"):
        warnings.simplefilter("always")
        open_image(hollow_png(side, side), max_pixels=40_000_000)
    assert caught == []


def test_limits_can_be_set(tmp_path):
    content = saved(noise(100, 100))
    path = tmp_path / "big.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"big.png has 0.0 MB: at most 0.0 MB"):
        open_image(path, max_bytes=1000)
    with pytest.raises(ImageError, match="at most"):
        open_image(noise(100, 100), max_pixels=9999)
    with pytest.raises(ImageError, match="there is no file"):
        open_image(tmp_path / "none.png")
    assert read_bytes(path) == content


def test_limits_are_the_librarys_own_and_the_environments(monkeypatch, tmp_path):
    path = tmp_path / "photograph.jpg"
    Image.new("RGB", (8000, 6000), "teal").save(path)
    assert open_image(path).size == (8000, 6000)
    for name, message in (("BYTES", "has .* MB"), ("PIXELS", "has 48.0 megapixels"), ("SIDE", "is 8,000 × 6,000 pixels")):
        monkeypatch.setenv(f"LONGCLIP_MAX_{name}", "1000")
        with pytest.raises(ImageError, match=message):
            open_image(path)
        monkeypatch.setenv(f"LONGCLIP_MAX_{name}", "many")
        with pytest.raises(ValueError, match=f"LONGCLIP_MAX_{name} is 'many': wanted a whole number"):
            open_image(path)
        monkeypatch.delenv(f"LONGCLIP_MAX_{name}")


def test_a_strip_is_refused_before_it_is_decoded(monkeypatch):
    """Pillow keeps a pointer a row: 40 million rows of one pixel take more than a gigabyte."""
    monkeypatch.setattr(PngImageFile, "load", None)
    with pytest.raises(ImageError, match="1 × 39,999,999 pixels"):
        open_image(hollow_png(1, 39_999_999))


def test_what_is_no_regular_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for place in (tmp_path / "pipe.jpg", tmp_path, "/dev/zero"):
        with pytest.raises(ImageError, match="is no regular file"):
            open_image(place)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_pictures_are_known_by_their_content(format):
    assert begins_like_picture(saved(noise(20, 10), format)[:HEAD])


@pytest.mark.parametrize(
    "head", [b"", b"BMW is a make of cars, and this is no picture", b"GIFT", b"\0\0\0\x18ftypmp42" + bytes(20), b"{"]
)
def test_other_files_are_no_pictures(head):
    assert not begins_like_picture(head[:HEAD])


def test_names_that_no_file_can_have_are_refused(tmp_path):
    with pytest.raises(ImageError, match="^x{80} cannot be read .File name too long"):
        open_image(tmp_path / ("x" * 300))


def test_heic_without_its_library_says_so(monkeypatch):
    content = saved(noise(20, 10), "HEIF")
    monkeypatch.delitem(Image.OPEN, "HEIF")
    monkeypatch.setattr("longclip.images._add_heif", lambda: None)
    with pytest.raises(ImageError, match="is a HEIC picture, .*pip install pillow-heif"):
        open_image(content)
    assert begins_like_picture(content[:HEAD])


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for format in ("GIF", "WEBP"):
        content = saved(frames[0], format, save_all=True, append_images=frames[1:])
        red, green, blue = open_image(content).getpixel((4, 4))
        assert red > 240 and green < 15 and blue < 15


def test_cmyk():
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    for content in (saved(cyan, "JPEG"), saved(cyan, "TIFF")):
        assert np.allclose(open_image(content).getpixel((4, 4)), (0, 255, 255), atol=3)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled(format):
    values = np.array([[0, 255, 32896, 65535]], dtype=np.uint16)
    image = open_image(saved(Image.fromarray(values), format))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0, 128, 255]], dtype=np.float32), [0, 128, 255]),
        (np.array([[-4, np.nan, 1e6]], dtype=np.float32), [0, 0, 255]),
        (np.array([[0, 500_000, 1_000_000]], dtype=np.int32), [0, 128, 255]),
        (np.array([[0, 0, 0]], dtype=np.int32), [0, 0, 0]),
    ],
)
def test_other_grey_values_are_scaled(values, expected):
    assert np.asarray(open_image(saved(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == expected


def test_exif_turns_the_picture():
    image = Image.new("RGB", (20, 10), "blue")
    image.paste("red", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter, clockwise
    turned = open_image(saved(image, "JPEG", exif=exif, quality=95))
    assert turned.size == (10, 20)
    assert turned.getpixel((5, 2))[0] > 200 and turned.getpixel((5, 17))[2] > 200


def test_damaged_exif_is_no_reason_to_refuse():
    content = saved(noise(20, 10), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert open_image(content).size == (20, 10)


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_newer_formats_are_decoded_and_turned(format):
    image = Image.new("RGB", (64, 32), "blue")
    image.paste("red", (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = open_image(saved(image, format, exif=exif.tobytes(), quality=95))
    assert turned.size == (32, 64)
    assert turned.getpixel((16, 8))[0] > 200 and turned.getpixel((16, 56))[2] > 200


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    if mode == "P":
        indexed = Image.new("P", (8, 8), 1)
        indexed.putpalette([0, 0, 0, 10, 200, 30])
        indexed.paste(0, (0, 0, 4, 8))
        opened = open_image(saved(indexed, "PNG", transparency=1))
    else:
        opened = open_image(image.convert(mode))
    assert opened.getpixel((1, 1)) == (0, 0, 0) and opened.getpixel((6, 6)) == (255, 255, 255)


def test_half_transparent_is_half_white():
    assert np.allclose(open_image(Image.new("RGBA", (4, 4), (0, 0, 0, 128))).getpixel((0, 0)), 127, atol=1)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(1, 1), (64, 48), (33, 200), (500, 100)])
@pytest.mark.parametrize("wanted", [32, (32, 48)])
def test_preprocessing_is_open_clips(mode, size, wanted):
    image = noise(*size)
    theirs = image_transform_v2(PreprocessCfg(size=wanted, resize_mode=mode), is_train=False)
    ours = Preprocessing.from_config(wanted, {"resize_mode": mode})
    assert torch.equal(ours(image), theirs(image))


def test_preprocessing_takes_a_models_settings():
    settings = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    pixels = Preprocessing.from_config(16, settings)(Image.new("RGB", (10, 30), "white"))
    assert pixels.shape == (3, 16, 16) and torch.allclose(pixels, torch.tensor(2.0))


def test_a_strip_is_cut_to_its_centre_and_scaled_as_ever():
    strip = noise(400, 32)
    cut, whole = Preprocessing((32, 32))(strip), image_transform_v2(PreprocessCfg(size=32), is_train=False)(strip)
    assert torch.equal(cut, whole)


@pytest.mark.parametrize("size", [(1, 300_000), (300_000, 1)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_a_huge_aspect_ratio_costs_no_memory(size, mode):
    pixels = Preprocessing((32, 32), mode=mode)(Image.new("RGB", size, "red"))
    assert pixels.shape == (3, 32, 32) and pixels.isfinite().all()


def test_batch(tmp_path):
    image = noise(40, 30)
    image.save(tmp_path / "a.png")
    pixels = Preprocessing((16, 16)).batch([tmp_path / "a.png", saved(image), image])
    assert pixels.shape == (3, 3, 16, 16) and torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[0], pixels[2])
    assert Preprocessing((16, 16)).batch([]).shape == (0, 3, 16, 16)
