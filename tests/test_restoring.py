"""Forms of the *Text to image* tab restored from pictures, and files that restore none."""

from __future__ import annotations

import io
import struct
import zlib

import gradio as gr
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from demos.context import Context
from demos.generation.drawings import Drawings
from demos.generation.order import CUT, Order
from longclip.generation.pictures import KEY, read_png, write_png
from longclip.generation.specs import EMBEDDED


def png_with(note: str) -> bytes:
    info, file = PngInfo(), io.BytesIO()
    info.add_itxt(KEY, note)
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def png_of_size(side: int) -> bytes:
    """A picture that says it has so many pixels a side, and has few."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = write_png(Image.new("RGB", (8, 8)), {"prompt": "x"})
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


@pytest.fixture
def drawings():
    return Drawings(Context())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no picture", "no PNG"),
        (b"\0" * 20_000_001, "20 MB"),
        (write_png(Image.new("RGB", (8, 8)), {"prompt": 3}), "does not say how it was drawn"),
        (write_png(Image.new("RGB", (8, 8)), {"prompt": "x", "steps": "many"}), "number of steps is"),
        (write_png(Image.new("RGB", (8, 8)), {"prompt": "x", "guidance": "much"}), "guidance is"),
        (write_png(Image.new("RGB", (8, 8)), {"prompt": "x", "guidance": 1e30}), "guidance is"),
        (write_png(Image.new("RGB", (8, 8)), {"prompt": "x", "share": float("nan")}), "share is"),
        (write_png(Image.new("RGB", (8, 8)), {"prompt": "x \ud800"}), "half a character"),
        (write_png(Image.new("RGB", (8, 8)), {"prompt": "x", "arms": "<script>"}), "does not say how it was drawn"),
        (png_with("[" * 90_000), "cannot be read"),
        (png_of_size(60_000), "no PNG"),
    ],
)
def test_other_files_change_nothing_and_say_why(drawings, tmp_path, content, sentence):
    file = tmp_path / "file.png"
    file.write_bytes(content)
    *form, note = drawings.restore(str(file))
    assert sentence in note and all("value" not in field for field in form)
    assert drawings.restore(None)[-1] == ""


def test_a_png_without_details_is_named(tmp_path):
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    with pytest.raises(ValueError, match="does not say how it was drawn"):
        read_png(plain.getvalue())
    with pytest.raises(ValueError, match="cannot be read"):
        read_png(png_with("{"))
    assert read_png(write_png(Image.new("RGB", (8, 8)), {"prompt": "é🦊", "seed": 1})) == {"prompt": "é🦊", "seed": 1}


def test_a_public_page_restores_no_form_that_it_cannot_draw(tmp_path):
    public = Drawings(Context(public=True))
    for changes, sentence in (
        ({"pipeline": "stable-diffusion-1.5"}, "drawn with stable-diffusion-1.5, which this page does not offer"),
        ({"model": "hf-hub:a/b"}, "drawn with hf-hub:a/b, which"),
        ({"steps": "y" * 50_000}, "The steps"),
        ({"guidance": 30}, "wanted a number from 1 to 20"),
    ):
        path = tmp_path / "picture.png"
        path.write_bytes(write_png(Image.new("RGB", (8, 8)), Order().details(CUT, 1, {}) | {"pipeline": EMBEDDED} | changes))
        *fields, said = public.restore(str(path))
        assert len(said) < 300 and (sentence in said or changes.get("steps")) and all(field == gr.skip() for field in fields)
