"""The tab of maps without a browser: views and links, the work, what is drawn, what is said."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import parse_qsl

import gradio as gr
import numpy as np
import pyarrow.parquet
import pytest
from forms import PAIR
from small_galleries import png

from demos.context import Context, Unavailable
from demos.maps import sheets
from demos.maps.atlas import first_look, nearest
from demos.maps.desk import Desk
from demos.maps.exports import draw_page
from demos.maps.maps import NEIGHBOURS, Maps
from demos.maps.placing import cut_versions
from demos.maps.points import draw_points, find_colourings
from demos.maps.view import OTHER, View, find_point, point_name, settings_of, split_point
from demos.retrieval.query import MINE
from demos.selection import PICTURE_BOOK, Selection
from longclip.gallery import Gallery
from longclip.neighbourhoods import neighbourhood_overlap
from longclip.projection import Projector, Settings

HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)>" onmouseover="x'
PCA = View(settings=Settings("pca"))


@pytest.fixture(scope="module")
def maps(context) -> Maps:
    return Maps(context)


@pytest.fixture(scope="module")
def desk(context, maps) -> Desk:
    return Desk(context, maps)


@pytest.fixture(scope="module")
def drawn(maps) -> list[list]:
    """What a sketch by PCA shows, step by step."""
    return list(maps.sketch(PCA))


def gallery_of(names: list[str], captions: list[str] | None = None, same: bool = False) -> Gallery:
    count = len(names)
    captions = captions or [""] * count
    return Gallery(names, [png(0 if same else row) for row in range(count)], captions, captions, [{} for _ in names])


def last(steps: list[list], part: int):
    """The last value that a component was given."""
    return [step[part] for step in steps if step[part] != gr.skip()][-1]


def event(**data) -> gr.EventData:
    return gr.EventData(None, data)


def unpack(text: str, dtype: str = "<u2") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def test_a_link_brings_the_view_back(book):
    view = View(*reversed(PAIR), settings=Settings("t-sne", "euclidean", 30, 7), among=OTHER, caption="Ä & b = c?")
    query = dict(parse_qsl(view.address(point_name(book, 5 + len(book)))[1:]))
    assert View.from_address(query, PAIR) == view
    assert find_point(book, query["point"]) == 5 + len(book) and split_point(book, 5 + len(book)) == (True, 5)
    own = View(gallery="secret", left="/home/me/model.pt").address("picture:mine.png")
    assert "secret" not in own and "home" not in own and "mine" not in own


@pytest.mark.parametrize("bad", ["", "x" * 3000, "-1", "1e9", "<b>", "٣٣٣", "9" * 400])
def test_nonsense_in_a_link_is_ignored(bad, book):
    names = ("left", "right", "method", "metric", "near", "seed", "among")
    view = View.from_address(dict.fromkeys(names, bad) | {"point": bad}, PAIR)
    assert view.models == PAIR and view.settings.method == "aligned-umap" and find_point(book, bad) is None
    assert settings_of(None, 3, [], {}) == Settings()


def test_a_sketch_shows_maps_colours_and_figures(drawn, book):
    value = next(step[1]["value"] for step in drawn if "value" in step[1])
    assert (value["count"], value["captions"], value["method"]) == (len(book), True, "PCA")
    colours = next(step[1]["colours"] for step in drawn if "colours" in step[1])
    assert [colouring["name"] for colouring in colours] == [
        "pictures and captions",
        "change of neighbourhood",
        "subject",
        "setting",
        "caption length",
    ]
    assert "Trustworthiness" in last(drawn, 2) and "Modality gap" in last(drawn, 2) and last(drawn, 3).count("data-point") == 24
    assert drawn[-1][0] == "" and drawn[-1][4]["visible"] is False
    json.dumps([step[1] for step in drawn])


def test_coordinates_arrive_as_they_are(context, book, maps, drawn):
    made = maps.atlas.maps(PCA)
    data = draw_points("key", book, made, ["a", "b"])
    x0, x1, y0, y1 = data["frame"]
    for one, sent in zip(made, data["maps"], strict=True):
        x = x0 + (x1 - x0) * unpack(sent["x"]) / 65535
        y = y0 + (y1 - y0) * unpack(sent["y"]) / 65535
        assert np.allclose(np.stack([x, y], 1), one.points, atol=max(x1 - x0, y1 - y0) / 60000)
    per_point = sum(len(sent[axis]) for sent in data["maps"] for axis in "xy") / len(made[0].points)
    assert per_point < 11, "bytes for both maps, so that 50,000 points take half a megabyte"


def test_colours_are_those_of_the_gallery(book, maps, drawn):
    overlap = maps.atlas.overlap(PCA)
    left, right = maps.atlas.sets(PCA)
    count = len(book)
    assert np.array_equal(overlap[count:], neighbourhood_overlap(left[count:], right[count:]))
    by_name = {colouring["name"]: colouring for colouring in find_colourings(book, overlap, maps.atlas.counts(PCA))}
    setting = by_name["setting"]
    assert setting["labels"][unpack(setting["values"], "u1")[3]] == book.metadata[3]["setting"]
    assert np.allclose(unpack(by_name["change of neighbourhood"]["values"], "u1") / 255, 1 - overlap, atol=0.003)
    assert len(unpack(by_name["caption length"]["values"], "u1")) == count and "tokens" in by_name["caption length"]["ends"][0]


def test_many_classes_share_a_colour():
    gallery = gallery_of([f"{n}.png" for n in range(60)])
    for number, row in enumerate(gallery.metadata):
        row |= {"kind": f"{HOSTILE}{number % 20}", "mixed": number if number else None, "list": [number], "own": number}
    found = {colouring["name"]: colouring for colouring in find_colourings(gallery, None, None)}
    assert set(found) == {"pictures and captions", "kind"}
    assert len(found["kind"]["labels"]) == 15 and found["kind"]["labels"][-1] == "6 others"
    assert unpack(found["kind"]["values"], "u1").max() == 14


def test_a_point_has_its_neighbours_in_both_full_spaces(maps, drawn, book):
    for view in (PCA.changed(point=7), PCA.changed(point=7 + len(book), among=OTHER)):
        about, left, right, update = maps.mark(view)
        marks = update["marks"]
        assert marks["chosen"] == view.point and f"point=picture%3A{book.ids[7]}" in marks["address"].replace(
            "caption%3A", "picture%3A"
        )
        for vectors, near in zip(maps.atlas.sets(PCA), marks["near"], strict=True):
            scores = vectors[: len(book)] @ vectors[view.point]
            if view.point < len(book):
                scores[view.point] = -2
            assert near == np.argsort(-scores, kind="stable")[:NEIGHBOURS].tolist()
        for column, title, other, near in zip(
            (left, right), ("CLIP", "Long-CLIP"), ("Long-CLIP", "CLIP"), marks["near"], strict=True
        ):
            assert re.findall('data-point="([0-9]+)"', column) == [str(point) for point in near]
            assert f"<b>Picture book {title}</b>" in column and f"shared with Picture book {other}<" in column
        shared = len(set(marks["near"][0]) & set(marks["near"][1]))
        assert f"{shared} of 12 shared" in left and f"{shared} of 12 shared" in right
        assert left.count("both</span>") == shared and "data-point" in right and "agree on" in about


def test_nearest_by_hand():
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 2, 0, 3]].repeat([1, 1, 1, 1, 2], axis=0)
    found = nearest(vectors, 3, vectors[0], caption=True, k=2)
    assert found.points.tolist() == [3, 4] and found.scores.tolist() == [1, 0] and found.places == ["1", "2–3"]
    found = nearest(vectors, 3, vectors[0], caption=False, k=5, but=0)
    assert found.points.tolist() == [1, 2] and found.places == ["1–2", "1–2"]
    assert nearest(vectors, 3, vectors[3], caption=True, k=3, but=3).points.tolist() == [4, 5]


def test_a_caption_is_placed_whole_and_cut(maps, drawn, book, context):
    caption = max(book.captions, key=len)
    texts = cut_versions(caption, context.encoder(PAIR[0]).tokenizer)
    assert [label for label, _ in texts] == ["whole", "first 77 tokens", "first sentence"]
    assert caption.startswith(texts[1][1]) and context.encoder(PAIR[0]).tokenize(texts[1][1]).unseen == ""
    about, left, _, update = maps.mark(PCA.changed(caption=caption))
    pins = update["marks"]["pins"]
    assert [[pin["label"] for pin in side] for side in pins] == [[label for label, _ in texts]] * 2
    whole, cut, _ = (np.array([pin["x"], pin["y"]]) for pin in pins[0])
    assert np.allclose(whole, cut, atol=1e-4), "CLIP reads no more than that"
    whole, cut, _ = (np.array([pin["x"], pin["y"]]) for pin in pins[1])
    assert not np.allclose(whole, cut, atol=1e-3) and "Placed by you" in about and "cards pictures" in left
    own = np.array([pins[1][0]["x"], pins[1][0]["y"]])
    row = book.captions.index(caption)
    assert np.allclose(own, maps.atlas.maps(PCA)[1].points[len(book) + row], atol=1e-3)


def test_short_texts_are_placed_once(context):
    tokenizer = context.encoder(PAIR[0]).tokenizer
    assert [label for label, _ in cut_versions("A fox.", tokenizer)] == ["whole"]
    assert [label for label, _ in cut_versions("A fox. A hen.", tokenizer)] == ["whole", "first sentence"]


def test_a_picture_is_placed(desk, maps, drawn, book, tmp_path):
    book.open(9).save(tmp_path / "mine.png")
    view, said = desk.place(PCA, "", str(tmp_path / "mine.png"))
    _, left, right, update = maps.mark(view)
    assert said == "" and update["marks"]["pins"][0][0]["label"] == "your picture" and 'class="cards captions"' in left
    place = [update["marks"]["pins"][1][0][axis] for axis in "xy"]
    assert np.allclose(place, maps.atlas.maps(PCA)[1].points[9], atol=0.02)
    (tmp_path / "no.png").write_text("words")
    assert "not a JPEG" in desk.place(PCA, "", str(tmp_path / "no.png"))[1]
    assert "Write a caption or add" in desk.place(PCA, " ", None)[1]


def test_a_lasso_makes_a_gallery(desk, maps, drawn, book, context):
    count = len(book)
    key, cards, shown, said = desk.gather(PCA, event(points=[3, 5, 5 + count, 9 + count]))
    kept = context.gallery(key)
    assert kept.ids == [book.ids[row] for row in (3, 5, 9)] and shown["visible"] and said == ""
    assert "2 pictures and 2 captions gathered" in cards
    view, selection, choice = desk.map_caught(PCA.changed(point=4), Selection(), key)
    assert (view.gallery, view.point, selection.own, choice) == (key, None, key, MINE)
    steps = list(maps.sketch(view))
    assert next(step[1]["value"] for step in steps if "value" in step[1])["count"] == 3


@pytest.mark.parametrize("points", [None, [], "all", [-1], [True], [10**9], [None, "3", 1.5, []], {"a": 1}])
def test_a_lasso_of_nothing_gets_a_sentence(points, desk, drawn):
    key, cards, shown, said = desk.gather(PCA, event(points=points))
    assert key is None and cards == "" and shown["visible"] is False and "caught no point" in said


def test_a_card_floats_beside_a_point(maps, book):
    assert book.captions[3][:40] in maps.describe([PICTURE_BOOK, 3]) and "<img" in maps.describe([PICTURE_BOOK, 3])
    assert "<b>caption</b>" in maps.describe([PICTURE_BOOK, 3 + len(book)])
    for asked in (
        None,
        [],
        [PICTURE_BOOK],
        [PICTURE_BOOK, -1],
        [PICTURE_BOOK, "3"],
        [PICTURE_BOOK, True],
        ["no", 3],
        [{}, 3],
        5,
    ):
        assert maps.describe(asked) == ""


@pytest.mark.parametrize(
    ("names", "same"),
    [(["one.png"], False), (["猫 <b>.png", "كلب.png"], False), ([f"{n}.png" for n in range(7)], True)],
    ids=["one", "two, in other scripts", "identical"],
)
def test_small_galleries_are_mapped_or_get_a_sentence(names, same, context, maps, desk):
    key = context.keep(gallery_of(names, same=same))
    view = View(gallery=key)
    steps = [*maps.sketch(view), *maps.finish(view)]
    value = next(step[1]["value"] for step in steps if "value" in step[1])
    assert value["count"] == len(names) and value["method"] == "PCA"
    assert "choose pca" in steps[-1][0] and steps[-1][4]["visible"] is False
    about, left, right, update = maps.mark(desk.pick(view, event(point=0))[0])
    assert len(update["marks"]["near"][0]) == len(names) - 1 and 0 not in update["marks"]["near"][0]
    assert "<b>.png" not in about + left + maps.describe([key, 0]) and names[0].split(" ")[0] in about
    if len(names) == 1:
        assert "no neighbours" in last(steps, 2) and "nothing else" in left


def test_hostile_captions_stay_text(context, maps, tmp_path):
    names = [f"{n}{HOSTILE}" for n in range(6)]
    gallery = gallery_of(names, [HOSTILE * 3 + str(n) for n in range(6)])
    view = PCA.changed(gallery=context.keep(gallery), point=0)
    steps = list(maps.sketch(view))
    shown = "".join(part for step in steps for part in step if isinstance(part, str))
    for part in (
        shown,
        *maps.mark(view)[:3],
        *maps.mark(view.changed(point=None, caption=HOSTILE))[:3],
        maps.describe([view.gallery, 0]),
    ):
        assert "<script" not in part and "<img src=x" not in part and '" onmouseover' not in part
    page = draw_page(gallery, {"<b>": np.zeros((12, 2))}, ["<script>alert(1)</script>"])
    assert "<script>alert" not in page and "<img src=x" not in page


def test_captions_that_are_lacking_are_said(context, maps):
    gallery = gallery_of([f"{n}.png" for n in range(8)], ["A fox."] * 5 + [""] * 3)
    steps = list(maps.sketch(PCA.changed(gallery=context.keep(gallery))))
    assert "3 of 8 pictures have no caption" in steps[-1][0]
    assert next(step[1]["value"] for step in steps if "value" in step[1])["captions"] is False


def test_what_is_not_there_gets_a_sentence(maps, desk, context):
    assert "Add some pictures" in list(maps.sketch(View(gallery="")))[-1][0]
    assert "no longer here" in list(maps.sketch(View(gallery="gone")))[-1][0]
    assert "not among the models" in list(maps.sketch(View(left="nothing")))[-1][0]
    assert "at most 200,000" in maps.mark(PCA.changed(caption="a" * 200_001))[0]
    assert "no longer here" in list(maps.finish(View(gallery="gone")))[-1][0]
    assert desk.pick(PCA, event(point="<b>"))[0] == PCA
    with pytest.raises(gr.Error, match="no longer here"):
        maps.export(View(gallery="gone"), "csv")


def test_maps_that_a_page_has_missed_are_sent_again(maps, drawn):
    sent = next(step[1] for step in drawn if "colours" in step[1])
    again = maps.redraw(PCA)
    assert all(json.dumps(again[name]) == json.dumps(sent[name]) for name in ("value", "colours"))
    assert maps.redraw(View(gallery="gone")) == gr.skip()


def test_a_newer_sketch_ends_the_older(maps, drawn):
    class Visitor:
        session_hash = "one"

    older = maps.sketch(PCA, Visitor())
    next(older)
    assert len(list(maps.sketch(PCA, Visitor()))) > 2 and list(older) == []


def test_maps_are_saved(maps, drawn, book, tmp_path):
    path = Path(maps.export(PCA, "parquet"))
    table = pyarrow.parquet.read_table(path).to_pydict()
    assert (
        path.name == "longclip-maps.parquet"
        and len(table["id"]) == 2 * len(book)
        and set(table["modality"]) == {"picture", "caption"}
    )
    points = maps.atlas.maps(PCA)[1].points
    assert np.allclose(np.stack([table["x_picturebook_longclip"], table["y_picturebook_longclip"]], 1), points)
    lines = Path(maps.export(PCA, "csv")).read_text("utf-8").splitlines()
    assert len(lines) == 2 * len(book) + 1 and "x_picturebook_clip" in lines[0]
    page = Path(maps.export(PCA, "html")).read_text("utf-8")
    assert "scattergl" in page and book.ids[3] in page and 'src="http' not in page


def test_a_public_page_does_not_say_where_its_files_are(book, tmp_path, maps, drawn, monkeypatch):
    monkeypatch.setattr(maps.context, "public", True)
    table = pyarrow.parquet.read_table(maps.export(PCA, "parquet")).to_pydict()
    assert table["picture"][3] == book.pictures[3].name


def test_the_tab_opens_with_what_was_chosen_elsewhere(desk, book):
    chosen = Selection(*reversed(PAIR), picture=book.ids[4])
    view, seen, *form = desk.arrive(chosen, View(), None)
    assert view.models == chosen.models and view.point == 4 and seen == chosen and form[:2] == list(chosen.models)
    assert desk.arrive(chosen, view.changed(point=9), seen)[0].point == 9, "nothing new"
    assert desk.arrive(chosen, View(point=2), None)[0].point == 2, "a link's point stays"


def test_the_form_settles_the_view(desk):
    view, selection = desk.settle(Selection(own="mine"), View(point=3), *PAIR, MINE, "umap", "euclidean", 30, 4)
    assert (view.gallery, view.point, view.settings) == ("mine", None, Settings("umap", "euclidean", 30, 4))
    assert (
        selection.models == PAIR
        and desk.settle(Selection(), View(point=3), *PAIR, PICTURE_BOOK, "?", None, "", None)[0].point == 3
    )


@pytest.mark.slow
def test_the_map_behind_replaces_the_first(context):
    maps, gallery = Maps(context), gallery_of([f"{n}.png" for n in range(24)])
    view = View(gallery=context.keep(gallery), settings=Settings("umap", neighbours=5))
    assert maps.atlas.maps(first_look(view))[0].variance is not None
    steps = list(maps.finish(view))
    assert steps[0] == [gr.skip()] * 5, "without a step, Gradio would empty what is shown"
    assert "UMAP is being made" in steps[1][0] and steps[1][4]["visible"]
    assert next(step[1]["value"] for step in steps if "value" in step[1])["method"] == "UMAP"
    expected = Projector().project(maps.atlas.sets(view), view.settings)
    assert all(np.array_equal(one.points, two.points) for one, two in zip(maps.atlas.maps(view), expected, strict=True))
    assert list(maps.finish(view)) == [[gr.skip()] * 5], "it is there"


def test_a_missing_gallery_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    assert "gallery is not here" in list(Maps(Context()).sketch(View()))[-1][0]
    with pytest.raises(Unavailable):
        Maps(Context()).keep(View(), [1])


def test_cards_name_what_they_show(book):
    card = sheets.changed(book, np.linspace(0, 1, 2 * len(book)))
    assert 'title="0 of 15 neighbours shared"' in card and card.count("<h3>") == 2
