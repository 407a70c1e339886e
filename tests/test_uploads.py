"""A visitor's own pictures: files that may be anything."""

from __future__ import annotations

import io

import gradio as gr
import pytest
from forms import form, found
from pictures import hollow_png, picture_file
from PIL import Image

from demos import uploads
from demos.pictures import THUMBNAIL
from demos.retrieval import panels
from demos.retrieval.query import MINE
from demos.selection import TO_CAPTIONS, Selection


def test_pictures_of_every_kind_are_read(tmp_path, book):
    scene = book.open(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    half = scene.crop((0, 0, 256, 128))
    deep = Image.new("I;16", (40, 40), 40_000)
    files = [
        picture_file(tmp_path, "moving.gif", scene, save_all=True, append_images=[scene.rotate(90)]),
        picture_file(tmp_path, "cmyk.jpg", scene.convert("CMYK")),
        picture_file(tmp_path, "deep.png", deep),
        picture_file(tmp_path, "turned.jpg", half, exif=turned),
        picture_file(tmp_path, "clear.png", scene.convert("RGBA")),
        picture_file(tmp_path, "narrow.png", Image.new("RGB", (9000, 2), "red")),
        picture_file(tmp_path, "large.jpg", scene.resize((3000, 2000))),
    ]
    *_, (_, _, gallery) = uploads.read_uploads(files)
    assert gallery.skipped == () and len(gallery) == len(files)
    assert gallery.open(3).size == (128, 256), "turned as its EXIF data say"
    assert min(gallery.open(6).size) == uploads.KEPT_SIDE
    assert gallery.open(2).getpixel((5, 5))[0] == pytest.approx(156, abs=2)
    assert all(fields[THUMBNAIL].startswith("data:image/webp;base64,") for fields in gallery.metadata)


def test_files_that_are_no_pictures_are_named(tmp_path, book):
    good = io.BytesIO()
    book.open(1).save(good, "JPEG")
    contents = {
        "words.png": b"no picture",
        "cut.jpg": good.getvalue()[: len(good.getvalue()) // 2],
        "bomb.png": hollow_png(13_000, 13_000),
        "empty.jpg": b"",
        "page.svg": b"<svg onload='alert(1)'/>",
    }
    assert len(contents["bomb.png"]) < 25_000
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    *_, (_, _, gallery) = uploads.read_uploads([str(tmp_path / name) for name in contents])
    assert len(gallery) == 0 and len(gallery.skipped) == len(contents)
    assert all(name in " ".join(gallery.skipped) for name in contents)
    assert "169" in gallery.skipped[2]
    assert "<svg" not in panels.upload_report(gallery)


def test_five_hundred_files_are_cut_to_the_limit(tmp_path):
    file = picture_file(tmp_path, "dot.png", Image.new("RGB", (8, 8)))
    *_, (_, total, gallery) = uploads.read_uploads([file] * 500)
    assert total == len(gallery) == uploads.MOST and "300 more files" in gallery.skipped[-1]
    assert len(set(gallery.ids)) == uploads.MOST


def test_own_pictures_are_searched_and_one_is_marked(book, tmp_path, searches, choices):
    shown = found(searches, *form("a fox", choice=MINE))
    assert "Add some pictures" in shown["note"]
    files = [picture_file(tmp_path, f"{row}.png", book.open(row)) for row in range(3)]
    *_, (selection, report) = choices.take_gallery(files, Selection())
    assert "3 pictures added" in report
    shown = found(searches, *form(book.captions[1], choice=MINE, selection=selection))
    assert shown["left"].count("<img") == 3 and "Best of 3 pictures" in shown["left"]
    assert "data:image/webp" in shown["left"]
    marked = choices.pick(*form(book.captions[1], choice=MINE, selection=selection), gr.EventData(None, {"pick": "1.png"}))[0]
    assert "of 3<" in found(searches, *form(book.captions[1], choice=MINE, selection=marked))["right"]


def test_a_picture_of_ones_own_is_a_query(book, tmp_path, searches, choices):
    file = picture_file(tmp_path, "mine.png", book.open(5))
    *_, (selection, report, kept) = choices.take_picture(file, Selection())
    assert report == "" and selection.upload and kept is not None
    shown = found(searches, *form("", TO_CAPTIONS, selection=selection))
    assert "Best of" in shown["left"] and "You search with" in shown["answer"]
    (tmp_path / "bad.png").write_text("words")
    *_, (selection, report, kept) = choices.take_picture(str(tmp_path / "bad.png"), selection)
    assert "not a JPEG" in report and selection.upload is None and kept is None


def test_a_scene_and_a_picture_of_ones_own_take_turns(book, tmp_path, searches, choices):
    """The file stays in its field exactly as long as it is searched with."""
    file = picture_file(tmp_path, "mine.png", book.open(5))
    scene = Selection(picture=book.ids[7])
    *_, (own, _, kept) = choices.take_picture(file, scene)
    assert own.upload and kept is not None
    asked = form(book.captions[7], TO_CAPTIONS, selection=own)
    for fields in (
        choices.pick_example(0, *asked),
        choices.pick_random(*asked),
        choices.pick(*asked, gr.EventData(None, {"pick": book.ids[9]})),
    ):
        assert fields[0].upload is None and fields[-1] is None
    unknown = choices.pick(*asked, gr.EventData(None, {"pick": "nothing"}))
    assert unknown[0].upload == own.upload and unknown[-1] is not None
    *_, (back, _, _) = choices.take_picture(None, own)
    shown = found(searches, *form(book.captions[7], TO_CAPTIONS, selection=back))
    assert back == scene and "Right caption at rank" in shown["left"]


def test_pictures_that_are_gone_get_a_sentence(searches):
    shown = found(searches, *form("a fox", choice=MINE, selection=Selection(own="long-gone")))
    assert "no longer here" in shown["note"]
