"""The app without a browser: its handlers on good and bad input, and its endpoints through the client."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

import app
from demos import cards, jobs, panels, reading, uploads
from demos.choices import Choices
from demos.context import Context, Unavailable
from demos.examples import EXAMPLES, KINDS, example_row, rows_of_kind
from demos.query import MINE, settle
from demos.ranking import Ranking, look_alikes, rank_by_sentences
from demos.searches import Searches
from demos.selection import PICTURE_BOOK, TO_CAPTIONS, TO_PICTURES, Selection
from longclip.retrieval import retrieval_ranks

PAIR = ("picturebook-clip", "picturebook-longclip")
HOSTILE = {
    "emoji": "😀🐈‍⬛🏳️‍🌈" * 40,
    "controls": "a\x00b\x1b[31mc\x7f\u202ereversed\u2066",
    "markup": '<script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt; " onmouseover="x',
    "template": "${alert(1)} {{value}} {%raw%}",
    "special": "<|endoftext|> <end_of_text>",
    "long": "a red fox, " * 9_091,
    "spaces": "\n\t fox \n\n" * 200,
    "surrogate": "half \ud83d of a character",
}


@pytest.fixture(scope="module")
def context() -> Context:
    return Context()


@pytest.fixture(scope="module")
def searches(context) -> Searches:
    return Searches(context)


@pytest.fixture(scope="module")
def choices(context) -> Choices:
    return Choices(context)


@pytest.fixture(scope="module")
def book(context):
    return context.gallery(PICTURE_BOOK)


def found(searches: Searches, *form) -> dict:
    """The last values of a search, by name."""
    names = ("selection", "answer", "note", "left_text", "right_text", "left", "right", "stop")
    return dict(zip(names, list(searches.search(*form))[-1], strict=True))


def form(caption: str = "", search: str = TO_PICTURES, choice: str = PICTURE_BOOK, selection: Selection | None = None) -> tuple:
    return selection or Selection(), caption, *PAIR, search, choice


def picture_file(folder: Path, name: str, image: Image.Image, **settings) -> str:
    image.save(folder / name, **settings)
    return str(folder / name)


def bomb(side: int = 13_000) -> bytes:
    """A PNG of 169 megapixels in about 20 KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(side // 8 + 1) * side, 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


# Searches


def test_a_caption_is_known_by_its_words_and_ranks_its_picture(book, searches):
    row = example_row(book, EXAMPLES[0])
    shown = found(searches, *form(book.captions[row]))
    assert shown["selection"].picture == book.ids[row]
    assert "77 of " in shown["left_text"] and "<s " in shown["left_text"] and "<s " not in shown["right_text"]
    for side in ("left", "right"):
        assert shown[side].count('class="card') >= cards.SHOWN
        assert shown[side].count("right picture") == 2  # in the tooltip and on the card
        assert "Right picture at rank" in shown[side]
    assert shown["note"] == "" and shown["stop"]["visible"] is False


def test_a_search_agrees_with_the_library(book, context, searches):
    row = example_row(book, EXAMPLES[1])
    encoder = context.encoder(PAIR[1])
    rank = retrieval_ranks(encoder.encode_text([book.captions[row]]), book.embed(encoder), [row])[0] + 1
    assert f"Right picture at rank {rank:,}<" in found(searches, *form(book.captions[row]))["right"]
    points = rank_by_sentences(context, settle(context, *form(book.captions[row])), PAIR[1])
    assert points[-1].rank == rank and points[0].sentences == 1
    assert [point.tokens for point in points] == sorted(point.tokens for point in points)


def test_captions_are_ranked_by_a_picture(book, searches):
    selection = Selection(picture=book.ids[4])
    shown = found(searches, *form(book.captions[4], TO_CAPTIONS, selection=selection))
    assert "Right caption at rank" in shown["left"] and 'class="cards captions"' in shown["left"]
    note, plot = searches.draw_curve(shown["selection"])
    assert note == "" and len(plot["value"].data) == 2


def test_an_edited_caption_keeps_its_picture_and_another_text_does_not(book, context):
    own = Selection(picture=book.ids[7])
    edited = book.captions[7].replace(".", " today.", 1)
    assert settle(context, *form(edited, selection=own)).picture == book.ids[7]
    assert settle(context, *form("Nine purple submarines parade through Venice.", selection=own)).picture is None


@pytest.mark.parametrize("caption", ["", "   \n", None])
def test_without_a_caption_there_is_a_sentence(caption, searches):
    shown = found(searches, *form(caption))
    assert "Write a caption first" in shown["note"] and shown["left"] == shown["right"] == ""


@pytest.mark.parametrize("caption", HOSTILE.values(), ids=HOSTILE)
def test_any_text_is_searched_and_stays_text(caption, searches):
    shown = found(searches, *form(caption))
    for side in ("left", "right"):
        assert 'class="card' in shown[side]
        assert "<script" not in shown[f"{side}_text"] and "onerror=alert" not in shown[f"{side}_text"].replace(
            "&lt;img src=x ", ""
        )
        assert not set(map(chr, range(32))) - {"\t", "\n"} & set(shown[f"{side}_text"])
        shown[f"{side}_text"].encode()


def test_a_text_that_is_far_too_long_gets_a_sentence(searches):
    assert "at most 200,000 are read" in found(searches, *form("a" * 200_001))["note"]


def test_a_model_that_cannot_be_fetched_leaves_the_other(book, monkeypatch, searches):
    from longclip import hub

    def absent(*_):
        raise hub.HubError("owner/model is not in the cache, and the hub cannot be reached: check the network and try again.")

    monkeypatch.setattr(hub, "fetch", absent)
    shown = found(searches, Selection(), book.captions[0], "openai/ViT-B-32", PAIR[1], TO_PICTURES, PICTURE_BOOK)
    assert "the hub cannot be reached" in shown["left"] and "Right picture" in shown["right"]
    assert "77 of" in shown["left_text"], "CLIP's tokenizer needs no download"


def test_an_unknown_model_gets_a_sentence(book, searches):
    shown = found(searches, Selection(), book.captions[0], "no-such-model", PAIR[1], TO_PICTURES, PICTURE_BOOK)
    assert "not among the models" in shown["left"] and "Right picture" in shown["right"]


def test_a_newer_search_of_the_same_visitor_ends_the_older(book, context, monkeypatch):
    def load_for_ever(name):
        while name == "openai/ViT-B-32":
            yield 1, 4

    class Visitor:
        session_hash = "one"

    searches = Searches(context)
    monkeypatch.setattr(context, "loading", load_for_ever)
    older = searches.search(Selection(), book.captions[0], "openai/ViT-B-32", PAIR[1], TO_PICTURES, PICTURE_BOOK, Visitor())
    busy = next(older)
    assert "Fetching CLIP ViT-B/32" in busy[5] and "25 %" in busy[5] and busy[-1]["visible"]
    assert "Stopped" in searches.stop(busy[5], busy[6])[0]
    monkeypatch.undo()
    assert found(searches, *form(book.captions[1]))["note"] == ""
    list(searches.search(*form(book.captions[1]), Visitor()))
    assert len(list(older)) <= 1


def test_results_are_written_as_a_table(book, searches, context):
    path = Path(searches.save_csv(settle(context, *form(book.captions[3]))))
    lines = path.read_text("utf-8").splitlines()
    assert path.name == "longclip-results.csv" and len(lines) == len(book) + 1
    assert lines[0].split(",")[:3] == ["id", f"rank {PAIR[0]}", f"cosine {PAIR[0]}"]
    assert lines[1].split(",")[1] == "1"
    assert sum(",1," in line and book.ids[3] in line for line in lines) == 1


def test_a_table_without_results_is_an_error_with_a_sentence(searches):
    with pytest.raises(gr.Error, match="Write a caption first"):
        searches.save_csv(Selection())


# Picking


def test_examples_and_cards_fill_the_form(book, choices):
    for number, example in enumerate(EXAMPLES):
        selection, caption, *_ = choices.pick_example(number, *form("typed"))
        row = book.index(selection.picture)
        assert caption == (book.short_captions if example.short else book.captions)[row]
    selection, caption, *_ = choices.pick(*form("typed"), gr.EventData(None, {"pick": book.ids[9]}))
    assert (selection.picture, caption) == (book.ids[9], book.captions[9])
    selection, caption, *_ = choices.pick(*form("typed"), gr.EventData(None, {"pick": "../../etc/passwd"}))
    assert (selection.picture, caption) == (None, "typed")


def test_late_families_share_what_clip_reads(book, context):
    row = example_row(book, EXAMPLES[0])
    alike = [i for i in rows_of_kind(book, EXAMPLES[0].kind) if book.metadata[i]["family"] == book.metadata[row]["family"]]
    ids = {context.encoder(PAIR[0]).tokenize(book.captions[i]).ids for i in alike}
    assert len(alike) == 8 and len(ids) == 1
    assert set(alike) - {row} <= look_alikes(book, row)


def test_scenes_can_be_browsed(choices):
    for kind in KINDS:
        assert choices.browse(kind).count("<img") == 24


# Links


def test_an_address_brings_the_selection_back():
    models = tuple(Context().models)
    chosen = Selection(left="openai/ViT-B-16", picture="000012.webp", caption="Ä & b = c?", search=TO_CAPTIONS)
    query = dict(pair.split("=", 1) for pair in chosen.address("retrieval")[1:].split("&"))
    from urllib.parse import unquote_plus

    assert Selection.from_address({k: unquote_plus(v) for k, v in query.items()}, models) == chosen


def test_nonsense_in_an_address_is_ignored(choices):
    class Request:
        query_params = {"left": "<b>", "right": "x" * 9999, "picture": "../..", "search": "?", "caption": "y" * 9999}

    selection = choices.open_link(Request())[0]
    assert selection.models == PAIR and selection.caption and selection.search == TO_PICTURES


# Files


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
    assert all(fields[cards.THUMBNAIL].startswith("data:image/webp;base64,") for fields in gallery.metadata)


def test_files_that_are_no_pictures_are_named(tmp_path, book):
    good = io.BytesIO()
    book.open(1).save(good, "JPEG")
    contents = {
        "words.png": b"no picture",
        "cut.jpg": good.getvalue()[: len(good.getvalue()) // 2],
        "bomb.png": bomb(),
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
    *_, (selection, report) = choices.take_picture(file, Selection())
    assert report == "" and selection.upload
    shown = found(searches, *form("", TO_CAPTIONS, selection=selection))
    assert "Best of" in shown["left"] and "You search with" in shown["answer"]
    (tmp_path / "bad.png").write_text("words")
    *_, (selection, report) = choices.take_picture(str(tmp_path / "bad.png"), Selection())
    assert "not a JPEG" in report and selection.upload is None


def test_pictures_that_are_gone_get_a_sentence(searches):
    shown = found(searches, *form("a fox", choice=MINE, selection=Selection(own="long-gone")))
    assert "no longer here" in shown["note"]


# Pieces


def test_a_reading_marks_what_is_new_and_what_is_cut(context):
    tokenizer = context.encoder(PAIR[0]).tokenizer
    text = "A zeppelin & a <pig>. " + "A pig on a farm. " * 20
    html = reading.reading(context.models[PAIR[0]], text, tokenizer(text), tokenizer.known(text))
    assert '<u class="new">zeppelin</u> &amp; a &lt;pig&gt;' in html and "never saw" in html
    assert html.count("<s ") == 1 and "77 of" in html


def test_changes_of_rank_carry_a_mark_and_a_word(book):
    import numpy as np

    here, there = Ranking.of_scores("a", np.array([0.9, 0.5, 0.1])), Ranking.of_scores("b", np.array([0.1, 0.5, 0.9]))
    html = cards.ranked_cards(cards.Results(book.select(range(3)), TO_PICTURES, 0, frozenset()), here, there, "B")
    assert "▲ 2" in html and "▼ 2" in html and "2 places better than in B (rank 3 there)" in html
    assert 'class="card right up' in html


def test_work_that_nobody_waits_for_stops():
    started, stopped = threading.Event(), threading.Event()

    def work(note):
        started.set()
        try:
            while True:
                note(1, 2)
                stopped.wait(0.01)
        finally:
            stopped.set()

    shared = jobs.Jobs()
    waiting = shared.follow("key", work)
    next(waiting)
    assert started.wait(5)
    waiting.close()
    assert stopped.wait(5)
    assert shared.result("key", lambda note: 7) == 7


def test_work_runs_once_and_its_error_reaches_everybody():
    calls = []

    def work(note):
        calls.append(1)
        raise ValueError("no")

    shared = jobs.Jobs()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            shared.result("key", work)
    assert len(calls) == 1


def test_a_missing_gallery_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    with pytest.raises(Unavailable, match="gallery is not here"):
        Context().gallery(PICTURE_BOOK)
    shown = found(Searches(Context()), *form("a fox"))
    assert "gallery is not here" in shown["note"]


# Endpoints


@pytest.fixture(scope="module")
def client(context):
    from gradio_client import Client

    page = app.build(context)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, server_port=None, run_history=False, ssr_mode=False)
    yield Client(address, verbose=False)
    page.close()


def test_the_search_endpoint_ranks_pictures(client, book):
    rows = client.predict(book.captions[2], "picturebook-longclip", 5, api_name="/search")
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert set(rows[0]) == {"id", "rank", "cosine", "caption", "right"}


def test_a_bad_call_of_the_endpoint_is_an_error_with_a_sentence(client):
    with pytest.raises(Exception, match="Write a caption first"):
        client.predict("", "picturebook-longclip", 5, api_name="/search")
    with pytest.raises(Exception, match="not among the models"):
        client.predict("a fox", "/etc/passwd", 5, api_name="/search")


def test_only_the_useful_endpoint_is_public(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/search"]
