"""Weighted sums, more like a picture, ways to other tabs, and galleries in folders of this machine."""

from __future__ import annotations

import gradio as gr
import numpy as np
import pytest
from forms import PAIR, form, found
from small_galleries import MEAN, fill

from demos.context import Context, Unavailable
from demos.retrieval.choices import Choices, show_inputs
from demos.retrieval.query import MINE, settle
from demos.retrieval.ranking import rank_gallery
from demos.retrieval.searches import Searches
from demos.selection import BY_SUM, PICTURE_BOOK, TO_CAPTIONS, TO_PICTURES, Selection
from demos.uploads import read_uploads
from longclip.index import make_gallery


def test_a_sum_is_the_sum_of_its_terms(book, context):
    encoder = context.encoder(PAIR[1])
    red, snow = encoder.encode_text(["a red boat", "snow"])
    wanted = 2 * red + 0.5 * book.embed(encoder)[12] - snow
    query = f"2:a red boat + 0.5:like:{book.ids[12]} - snow"
    ranking = rank_gallery(context, settle(context, *form(query, BY_SUM)), PAIR[1])
    assert np.allclose(ranking.scores, book.embed(encoder) @ (wanted / np.linalg.norm(wanted)), atol=1e-5)


def test_more_like_a_hit(book, searches, choices):
    selection, caption, search, *_ = choices.pick_like(Selection(), gr.EventData(None, {"pick": book.ids[12]}))
    shown = found(searches, *form(caption, search, selection=selection))
    first = shown["right"].split('data-pick="')[1].split('"')[0]
    assert search == BY_SUM and first == book.ids[12] and "Best of 1,240 pictures" in shown["left"]
    assert f'data-like="{first}"' in shown["right"] and "Terms and their weights" in shown["answer"]


def test_a_picture_of_ones_own_is_a_term(book, context, searches, tmp_path):
    book.open(7).save(tmp_path / "mine.png")
    *_, (_, _, own) = read_uploads([str(tmp_path / "mine.png")])
    query = form("3:mine.png + a fox", BY_SUM, selection=Selection(upload=context.keep(own)))
    assert found(searches, *query)["left"].split('data-pick="')[1].startswith(book.ids[7])
    assert "add it first" in found(searches, *form("3:mine.png + a fox", BY_SUM))["note"]
    assert "add it first" in found(searches, *form("/etc/passwd.png", BY_SUM))["note"], "no file of this machine is read"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "Write a caption first"),
        ("a fox + ", "empty term"),
        ("like:nothing", "No picture &#x27;nothing&#x27;"),
        (" + ".join(["fox"] * 21), "at most 20"),
        ("<script> + ", "&lt;script&gt;"),
    ],
)
def test_a_bad_sum_gets_a_sentence(query, sentence, searches):
    shown = found(searches, *form(query, BY_SUM))
    assert sentence in shown["note"] and shown["left"] == shown["right"] == ""


def test_terms_that_cancel_get_a_sentence(searches):
    assert "cancel each other out" in found(searches, *form("fox - fox", BY_SUM))["left"]


def test_a_name_with_signs_is_more_like_itself(context, book, searches):
    kept = book.select([3, 4, 5])
    kept.ids = ["mine - 1.png", "猫 + 2.png", "c.png"]
    selection = Selection(own=context.keep(kept))
    shown = found(searches, *form("like:猫 + 2.png", BY_SUM, MINE, selection))
    assert shown["note"] == "" and shown["left"].split('data-pick="')[1].startswith("猫 + 2.png")


def test_a_hit_is_carried_to_another_tab(book, choices):
    selection, door = choices.carry(Selection(), gr.EventData(None, {"pick": book.ids[9], "door": "maps"}))
    assert (selection.picture, selection.caption, door) == (book.ids[9], book.captions[9], "maps")
    assert choices.carry(Selection(), gr.EventData(None, {"pick": "../..", "door": "maps"})) == [Selection(), ""]


def test_a_gallery_that_is_brought_is_searched(choices):
    brought = Selection(own="key", gallery="key")
    *fields, times = choices.arrive(brought, PICTURE_BOOK, 4)
    assert times == 5 and fields[3] == MINE
    assert choices.arrive(brought, MINE, 4)[-1] == choices.arrive(Selection(), PICTURE_BOOK, 4)[-1] == 4


def test_inputs_follow_the_kind_of_search():
    def shown(*choice):
        return [update["visible"] for update in show_inputs(*choice)]

    assert shown(False, TO_PICTURES, PICTURE_BOOK) == [True, False, False, True, False]
    assert shown(False, TO_CAPTIONS, MINE) == [False, True, False, True, False]
    assert shown(False, BY_SUM, MINE) == [True, True, True, False, True]
    assert shown(True, BY_SUM, MINE)[-1] is False


@pytest.fixture(scope="module")
def folder(context, tmp_path_factory):
    place = tmp_path_factory.mktemp("stored")
    source = fill(place / "pictures", 20, captions=True)
    (source / "0003.png").write_text("words")
    make_gallery(str(source), place / "gallery", [context.encoder(PAIR[1])], mean=MEAN)
    return place / "gallery"


def test_a_stored_gallery_is_searched(folder, context, searches, monkeypatch):
    selection, report = Choices(context).take_folder(f" {folder} ", Selection())
    gallery = context.gallery(selection.own)
    assert "19 pictures added" in report and "0003.png" in report and len(gallery) == 19 and "0003.png" not in gallery.ids
    encoder = context.encoder(PAIR[1])
    monkeypatch.setattr(encoder, "encode_image", lambda *_, **__: pytest.fail("it is on the disk"))
    ranking = rank_gallery(context, selection.changed(gallery=selection.own, caption="a fox"), PAIR[1])
    monkeypatch.undo()
    expected = encoder.encode_image(gallery.pictures) @ encoder.encode_text(["a fox"])[0]
    assert np.allclose(ranking.scores, expected, atol=1e-5)
    shown = found(searches, *form("a fox", choice=MINE, selection=selection))
    assert "of 19" in shown["left"] and "data:image/webp" in shown["left"], "by a model it is not embedded by, too"


def test_a_folder_that_is_no_gallery_gets_a_sentence(context, tmp_path, folder):
    for name in (str(tmp_path), "/nowhere/at/all", "\x00", "~nobody/x"):
        selection, report = Choices(context).take_folder(name, Selection())
        assert selection.own is None and "notice" in report, name
    assert Choices(context).take_folder("", Selection())[1] == ""
    with pytest.raises(Unavailable, match="no longer open"):
        context.gallery("folder:/nowhere@0")
    public = Context(public=True)
    with pytest.raises(Unavailable, match="not open to a public page"):
        public.open_stored(str(folder))
    assert (
        "no longer open" in found(Searches(public), *form("a fox", choice=MINE, selection=Selection(own="folder:/@0")))["note"]
    )
