"""The curves and the files of the tab *Which words count*."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from explained import LONG, found, plain_match
from gradio import Error
from PIL import Image

from demos.attribution import explaining as explaining_module
from demos.attribution import lengths as lengths_module
from demos.attribution.answer import Answer, Explanation
from demos.attribution.board import table
from demos.attribution.curves import POSITION, RANK, SCORE, Drawing, draw_caption
from demos.attribution.desk import Desk
from demos.attribution.downloads import write_csv, write_json
from demos.attribution.explaining import Explaining
from demos.attribution.explanations import Explanations
from demos.attribution.lengths import CAPTION, GALLERY, Lengths
from demos.attribution.order import Order, Pair
from demos.context import Context
from demos.figures import STYLES
from demos.requests import Requests
from demos.selection import PICTURE_BOOK
from longclip.attribution import length_curve, position_changes
from longclip.gallery import Gallery
from longclip.registry import assets


@pytest.fixture(scope="module")
def book():
    return Gallery.from_folder(assets() / "gallery").select(range(24))


@pytest.fixture(scope="module")
def context(book):
    """A page with a small picture book."""
    made = Context()
    made._book = book
    return made


@pytest.fixture(scope="module")
def models(tiny_model_folder):
    return tuple(str(tiny_model_folder(length)) for length in (77, 248))


@pytest.fixture(scope="module")
def explaining(context):
    return Explaining(context)


@pytest.fixture(scope="module")
def shower(context, explaining):
    return Explanations(context, explaining, Requests())


@pytest.fixture(scope="module")
def desk(context):
    return Desk(context)


@pytest.fixture(scope="module")
def order(book, models):
    return Order(Pair(LONG, picture=book.ids[3]), models)


@pytest.fixture(scope="module")
def lengths(context, explaining):
    return Lengths(context, explaining, Requests())


def drawn(lengths: Lengths, explanation: Explanation, what: str, by: str = "tokens", over: str = CAPTION) -> list:
    return list(lengths.draw(explanation, what, by, over))[-1]


def test_the_curve_of_a_caption_goes_on_flat_where_a_model_is_full(lengths, shower, order, context, book, models):
    explanation = found(shower, order)
    drawing = drawn(lengths, explanation, SCORE)[4]
    left, right = drawing.lines
    total = context.encoder(models[0]).tokenize(LONG).total
    assert left.x[-1] == right.x[-1] == total > 77 and len(set(left.y[left.x >= 77])) == 1
    for line, model in zip(drawing.lines, models, strict=True):
        curve = length_curve(plain_match(context, book, order, model))
        np.testing.assert_allclose(line.y, curve.at("tokens", line.x), atol=1e-5)
    assert drawing.marks == {20.0: "token 20", 77.0: "token 77"}
    alone = draw_caption([("CLIP", length_curve(plain_match(context, book, order, models[0])), total)], SCORE, "tokens", 1)
    assert alone.marks == drawing.marks
    by_words = drawn(lengths, explanation, SCORE, "words")[4]
    curve = length_curve(plain_match(context, book, order, models[1]))
    at = curve.words[np.flatnonzero(curve.tokens > 77)[0]]
    assert by_words.marks[float(at)] == "token 77" and by_words.lines[1].x[-1] == curve.words[-1]


@pytest.mark.parametrize("failed", [0, 1])
def test_a_model_keeps_its_colours_where_the_other_fails(lengths, shower, order, failed):
    explanation = found(shower, order)
    answers = list(explanation.answers)
    answers[failed] = Answer(answers[failed].model, answers[failed].title, problem="It is gone.")
    left_alone = replace(explanation, answers=tuple(answers))
    side = ("right", "left")[failed]
    for what in (SCORE, POSITION):
        _, _, plot, _, drawing, _ = drawn(lengths, left_alone, what)
        (line,) = plot["value"].data
        assert drawing.lines[0].side == side and line.line.color == STYLES[side][0] and line.line.dash == STYLES[side][1]
    assert f'<th scope="col" class="{side}">' in table(left_alone)
    whole = drawn(lengths, explanation, SCORE)[2]["value"]
    assert [line.line.color for line in whole.data] == [STYLES["left"][0], STYLES["right"][0]]


def test_ranks_and_positions_are_those_of_the_library(lengths, shower, order, context, book, models):
    explanation = found(shower, order)
    ranks = drawn(lengths, explanation, RANK, "sentences")[4]
    pictures = context.embedded("pictures", PICTURE_BOOK, models[1])
    curve = length_curve(plain_match(context, book, order, models[1]), pictures, 3)
    np.testing.assert_array_equal(ranks.lines[1].y, curve.ranks_at("sentences", ranks.lines[1].x))
    assert ranks.ranked and "24 pictures" in ranks.y
    positions = drawn(lengths, explanation, POSITION)[4]
    changes = position_changes(plain_match(context, book, order, models[1]))
    np.testing.assert_allclose(positions.lines[1].y, changes[1:-1], atol=1e-5)
    assert positions.lines[0].x[-1] == 75


@pytest.fixture(scope="module", autouse=True)
def few():
    """Averages over a few captions, which is fast."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (explaining_module, lengths_module):
            patch.setattr(module, "CURVES", 6)
            patch.setattr(module, "CHANGES", 3)
        yield


@pytest.mark.parametrize(("what", "count"), [(SCORE, 6), (RANK, 6), (POSITION, 3)])
def test_averages_over_the_gallery_have_a_band(lengths, shower, order, explaining, models, what, count):
    status, about, plot, numbers, drawing, _ = drawn(lengths, found(shower, order), what, over=GALLERY)
    assert status == "" and f"over {count} scenes" in about and plot["visible"] and "<table" in numbers
    line = drawing.lines[1]
    assert np.all(line.low <= line.y + 1e-9) and np.all(line.y <= line.high + 1e-9)
    if what == SCORE:
        kept = explaining.result(explaining.gallery_curves(PICTURE_BOOK, models[1]))
        np.testing.assert_allclose(line.y, np.mean([curve.at("tokens", line.x) for curve in kept], axis=0), atol=1e-9)
    if what == RANK:
        kept = explaining.result(explaining.gallery_curves(PICTURE_BOOK, models[1]))
        mean = np.exp(np.mean([np.log(curve.ranks_at("tokens", line.x)) for curve in kept], axis=0))
        np.testing.assert_allclose(line.y, mean, rtol=1e-9)


def test_behind_an_explanation_that_was_stopped_nothing_is_drawn(lengths, shower, order):
    explanation = found(shower, order)
    ((*values,),) = lengths.follow(replace(explanation, complete=False), SCORE, "tokens", GALLERY)
    assert values[2]["value"] is None and not values[2]["visible"] and not values[4].lines
    assert list(lengths.follow(explanation, SCORE, "tokens", CAPTION))[-1][4].lines
    request = SimpleNamespace(session_hash="three")
    new = found(shower, replace(order, pair=replace(order.pair, caption=LONG + "That is all.")))
    steps = lengths.draw(new, POSITION, "tokens", CAPTION, request)
    next(steps)
    lengths.stops.begin(request)
    ((status, *_),) = steps
    assert "Stopped" in status


def test_plots_have_tables_and_files(lengths, shower, order):
    drawing = drawn(lengths, found(shower, order), SCORE)[4]
    rows = list(csv.reader(io.StringIO(drawing.write_csv())))
    assert rows[0][0].startswith("tokens kept") and len(rows) == 1 + len(drawing.lines[0].x)
    assert float(rows[-1][2]) == pytest.approx(drawing.lines[1].y[-1], abs=1e-6)
    assert lengths.save_csv(drawing).endswith(".csv")
    with pytest.raises(Error):
        lengths.save_csv(Drawing())


def test_there_is_no_rank_of_a_picture_that_stands_alone_and_no_plot_of_nothing(lengths, shower, desk, order, tmp_path):
    assert not drawn(lengths, Explanation(), SCORE)[2]["visible"]
    path = tmp_path / "one.png"
    Image.effect_noise((64, 64), 90).convert("RGB").save(path)
    *_, (pair, *_) = desk.take_picture(str(path), order.pair, "a fox")
    explanation = found(shower, replace(order, pair=pair))
    assert "stands alone" in drawn(lengths, explanation, RANK)[0]
    assert drawn(lengths, explanation, SCORE)[2]["visible"] and drawn(lengths, explanation, POSITION)[2]["visible"]


def test_an_explanation_is_saved_whole(shower, order, book):
    explanation = found(shower, replace(order, method="shapley", budget=600))
    rows = list(csv.DictReader(io.StringIO(write_csv(explanation))))
    assert [LONG[int(row["start"]) : int(row["end"])] for row in rows] == [row["text"] for row in rows]
    long = explanation.answers[1]
    for row, unit, value in zip(rows, long.attribution.units, long.attribution.values, strict=True):
        assert int(row["start"]) == unit.start and float(row[f"value {order.models[1]}"]) == pytest.approx(value, abs=1e-6)
    assert rows[-1][f"value {order.models[0]}"] == "" and rows[0][f"error {order.models[0]}"] != ""
    saved = json.loads(write_json(explanation))
    assert saved["caption"] == LONG and saved["picture"] == order.pair.picture and saved["budget"] == 600
    model = saved["models"][order.models[0]]
    assert model["score"] == pytest.approx(explanation.answers[0].attribution.score, abs=1e-6) and model["read"] == 77
    np.testing.assert_allclose(model["maps"], explanation.answers[0].maps, atol=1e-6)
    assert shower.save_csv(explanation).endswith(".csv") and shower.save_json(explanation).endswith(".json")
    with pytest.raises(Error):
        shower.save_csv(Explanation())


def test_files_name_no_secret_and_run_no_formula(shower, order):
    explanation = found(shower, replace(order, pair=replace(order.pair, caption="=1+1 fox", gallery=PICTURE_BOOK)))
    mine = replace(explanation, answers=(replace(explanation.answers[0], model="yours:mine/secret"),))
    assert "secret" not in write_csv(mine) + write_json(mine) and "yours:mine" in write_csv(mine)
    assert "\n0,1,'=," in write_csv(mine).replace("\r", "")
