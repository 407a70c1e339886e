"""The tab *Which words count*: what is weighed and mapped, what is shown on good and bad input, edits, curves, files."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from explained import LONG, explain, form, found, plain_match
from PIL import Image

from demos.attribution import curves, words
from demos.attribution.answer import Answer, Explanation
from demos.attribution.board import board, table
from demos.attribution.curves import Drawing
from demos.attribution.desk import Desk
from demos.attribution.edits import change_colour, comparison
from demos.attribution.explaining import Explaining
from demos.attribution.explanations import Explanations
from demos.attribution.order import BUDGET, LEVELS, METHODS, REMOVALS, Order, Pair
from demos.context import Context
from demos.requests import Requests
from demos.selection import BY_SUM, Selection
from longclip.attribution import leave_one_out, occlude, word_effects

HOSTILE = '<script>alert(1)</script>"${x}{{y}} '


@pytest.fixture(scope="module")
def models(tiny_model_folder):
    return tuple(str(tiny_model_folder(length)) for length in (77, 248))


@pytest.fixture(scope="module")
def explaining(context):
    return Explaining(context)


@pytest.fixture
def shower(context, explaining):
    return Explanations(context, explaining, Requests())


@pytest.fixture
def desk(context):
    return Desk(context)


@pytest.fixture(scope="module")
def order(book, models):
    return Order(Pair(LONG, picture=book.ids[3]), models)


def test_words_come_before_maps_and_are_those_of_the_library(shower, order, context, book, models):
    shown = explain(shower, order)
    news = [values[2] for values in shown if isinstance(values[2], Explanation)]
    stages = [[(a.attribution is not None) + (a.maps is not None) for a in news_.answers] for news_ in news]
    assert stages == [[1, 0], [1, 1], [2, 1], [2, 2], [2, 2]] and news[-1].complete and not news[-2].complete
    assert shown[0][4]["visible"] and not shown[-1][4]["visible"] and shown[-1][0] == ""
    for answer, model in zip(news[-1].answers, models, strict=True):
        match = plain_match(context, book, order, model)
        wanted = leave_one_out(match)
        np.testing.assert_allclose(answer.attribution.values, wanted.values, atol=1e-5)
        picture = book.pictures[book.index(order.pair.picture)]
        effects = word_effects(match, [[wanted.units[number]] for number in wanted.seen])
        maps = np.stack([occlude(context.encoder(model), picture).map(effect) for effect in effects])
        np.testing.assert_allclose(answer.maps, maps, atol=1e-5)


def test_the_maps_in_the_page_are_those_of_the_words(shower, order, book):
    explanation = found(shower, order)
    html = board(explanation, book, 3)
    sections = re.findall(r'<section class="reader.*?</section>', html, re.S)
    assert len(sections) == 2
    for section, answer in zip(sections, explanation.answers, strict=True):
        rows, columns = (int(re.search(rf'data-{name}="(\d+)"', section)[1]) for name in ("rows", "columns"))
        sent = np.frombuffer(base64.b64decode(re.search(r'data-maps="([^"]+)"', section)[1]), "<i2").reshape(-1, rows, columns)
        np.testing.assert_allclose(
            sent / 32767 * np.abs(answer.maps).max(), answer.maps, atol=np.abs(answer.maps).max() / 60000
        )
        units = [int(number) for number in re.findall(r'data-unit="(\d+)"', section)]
        spans = [(int(a), int(b)) for a, b in re.findall(r'data-start="(\d+)" data-end="(\d+)"', section)]
        assert units == list(range(len(sent)))
        assert spans == [(unit.start, unit.end) for unit in answer.attribution.units if unit.seen]
    assert "<s " in sections[0] and "<s " not in sections[1] and "not seen" in sections[0]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_shown_and_says_what_it_is(shower, order, book, method):
    order = replace(order, pair=replace(order.pair, caption=LONG[:84]), method=method, level="phrases", budget=100)
    explanation = found(shower, order)
    assert explanation.complete and all(answer.maps is not None for answer in explanation.answers)
    html = board(explanation, book, 3)
    said = {
        "leave-one-out": "nobody attends to it",
        "integrated-gradients": "completeness gap",
        "shapley": "averaged over the orders",
        "gradient-x-input": "a quick look",
        "attention-rollout": "explains no match",
    }
    assert said[method] in html and ("attends to</span>" in html) == (method == "attention-rollout")
    gaps = [answer.attribution.gap for answer in explanation.answers]
    assert all((gap is not None) == (method in ("integrated-gradients", "shapley")) for gap in gaps)


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("level", LEVELS)
def test_levels_and_removals_reach_the_library(shower, order, context, book, level, removal):
    order = replace(order, level=level, removal=removal)
    for answer, model in zip(found(shower, order).answers, order.models, strict=True):
        wanted = leave_one_out(plain_match(context, book, order, model), level, removal)
        np.testing.assert_allclose(answer.attribution.values, wanted.values, atol=1e-5)


def test_the_budget_reaches_shapley_values(shower, order):
    order = replace(order, method="shapley", budget=200)
    few, many = (found(shower, replace(order, budget=budget)).answers[1].attribution for budget in (200, 900))
    assert few.passes < many.passes <= 900 + len(many.units)
    assert many.values.sum() == pytest.approx(many.score - many.base, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"caption": "  \n"}, "Write a caption first"),
        ({"caption": "x" * 200_001}, "200,001 characters"),
        ({"picture": None}, "Pick a picture first"),
        ({"picture": "nowhere"}, "nowhere"),
        ({"gallery": "gone"}, "no longer here"),
        ({"level": "letters"}, "The level is"),
        ({"method": "guessing"}, "The method is"),
        ({"removal": "burn"}, "The removal is"),
        ({"method": "shapley", "budget": 10**9}, "The budget is"),
        ({"method": "shapley", "budget": None}, "The budget is None"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(shower, order, changes, sentence):
    of_pair = {name: value for name, value in changes.items() if name in ("caption", "picture", "gallery")}
    others = {name: value for name, value in changes.items() if name not in of_pair}
    shown = explain(shower, replace(order, pair=replace(order.pair, **of_pair), **others))
    assert len(shown) == 1 and sentence in shown[0][0] and "Traceback" not in shown[0][0]
    assert all("value" not in value for value in shown[0][1:])


def test_a_model_that_is_not_there_leaves_the_other_one(shower, order, book, models):
    explanation = found(shower, replace(order, models=("nothing-like-it", models[1])))
    assert "not among the models" in explanation.answers[0].problem and not explanation.fine and explanation.complete
    html = board(explanation, book, 3)
    assert "not among the models" in html and html.count('class="look"') == 1
    assert len(found(shower, replace(order, models=(models[1], models[1]))).answers) == 1


@pytest.mark.parametrize(
    "caption",
    [
        "fox",
        "fox " * 200,
        "مرحبا بالعالم، ثعلب أحمر",
        "🦊👩‍👩‍👧 fox 🦊",
        "東京の赤い狐。",
        HOSTILE,
        "!!! ...",
        "word " * 5000,
        "a" * 6000,
    ],
    ids=["one", "the-same-200", "arabic", "emoji", "japanese", "hostile", "marks", "5000", "one-long"],
)
def test_captions_of_any_kind_are_explained_and_nothing_of_them_is_lost(shower, order, book, caption):
    explanation = found(shower, replace(order, pair=replace(order.pair, caption=caption)))
    assert explanation.complete
    html = board(explanation, book, 3)
    assert "<script" not in html and "nan" not in re.sub(r'data-maps="[^"]*"', "", html)
    for answer in explanation.answers:
        told = words.coloured(answer.attribution, answer.tokens)
        text = re.sub(r"<small>.*?</small>", "", told)
        text = re.sub(r"<[^>]+>", "", text)
        read = caption[: answer.tokens.unseen_start + words.SHOWN]
        assert text == words.visible(read)


def test_a_blank_picture_has_maps_of_nothing(shower, desk, order, tmp_path):
    path = tmp_path / "blank.png"
    Image.new("RGB", (64, 64), "white").save(path)
    *_, (pair, caption, panel, report) = desk.take_picture(str(path), order.pair, "a fox")
    assert caption == "a fox" and report == "" and "data:image/webp" in panel
    explanation = found(shower, replace(order, pair=pair))
    assert all(np.abs(answer.maps).max() < 1e-6 for answer in explanation.answers)


def test_a_file_that_is_no_picture_is_refused_and_the_old_one_stays(desk, order, tmp_path):
    path = tmp_path / "words.png"
    path.write_text("words")
    *_, (pair, _, _, report) = desk.take_picture(str(path), order.pair, "a fox")
    assert "words.png is not a JPEG" in report and "value" not in pair


def test_what_is_shown_is_escaped(order, book):
    answer = Answer("m", HOSTILE, problem=HOSTILE)
    assert "<script" not in board(Explanation(order, (answer,)), book, 3)
    drawing = Drawing((curves.Line(HOSTILE, np.arange(2), np.arange(2)),), "x", "y")
    assert "<script" not in drawing.write_html()


def test_the_same_again_is_not_computed_anew(shower, order):
    explanation = found(shower, order)
    shown = explain(shower, order, explanation)
    assert len(shown) == 1 and not shown[0][4]["visible"] and "value" not in shown[0][1]


def test_a_newer_question_ends_the_older_one(shower, order):
    request = SimpleNamespace(session_hash="one")
    caption = "An older question about a red fox and a pond."
    older = shower.explain(Explanation(), *form(replace(order, pair=replace(order.pair, caption=caption))), request)
    next(older)
    newer = list(shower.explain(Explanation(), *form(order), request))
    assert newer[-1][0] == "" and not any(isinstance(values[2], Explanation) and values[2].complete for values in older)


def test_what_is_stopped_says_so_and_shows_nothing_more(shower, order):
    request = SimpleNamespace(session_hash="two")
    slow = replace(order, method="shapley", budget=5000)
    steps = shower.explain(Explanation(), *form(slow), request)
    next(steps)
    shower.stop(request)
    ((status, _, _, _, stop, *_),) = steps
    assert "Stopped" in status and not stop["visible"]
    assert found(shower, order).complete


def test_leaving_stops_the_work_and_the_next_question_is_answered(shower, order):
    slow = replace(order, method="shapley", budget=5000)
    steps = shower.explain(Explanation(), *form(slow))
    next(steps)
    steps.close()
    assert found(shower, order).complete


def test_an_edit_is_compared_with_the_caption(shower, order, context, book, models):
    explanation = found(shower, order)
    late = LONG[::-1].replace("xof", "tac", 1)[::-1]
    assert late != LONG and late.index("cat") > 300
    *_, last, end = shower.compare(explanation, late)
    html = last[1]
    left, right = re.findall(r'<section class="reader.*?</section>', html, re.S)
    assert "nothing changes" in left and "does not read the words that were changed" in left
    scores = (
        context.encoder(models[1]).encode_text([LONG, late]) @ (context.encoder(models[1]).encode_image([book.pictures[3]])[0])
    )
    assert f"{scores[0]:.3f} → {scores[1]:.3f}" in right and "“fox” → “cat”" in right
    assert right.count("edited") == 1 and re.search(r'class="word [a-z ]*edited"[^>]*>cat<', right)
    assert end[0] == "" and not end[2]["visible"] and "data-unit" not in html
    same = list(shower.compare(explanation, LONG))[-2][1]
    assert same.count("The caption is the same") == 2
    spaced = list(shower.compare(explanation, LONG + " "))[-2][1]
    assert spaced.count("Only white space was changed") == 2


def test_a_comparison_goes_when_another_caption_is_explained(shower, order):
    explanation = found(shower, order)
    other = replace(order, pair=replace(order.pair, caption="A kite above a barn."))
    assert [values[6] for values in explain(shower, other, explanation) if isinstance(values[2], Explanation)][0] == ""
    by_gradients = replace(order, method="gradient-x-input")
    assert all(values[6] != "" for values in explain(shower, by_gradients, explanation))


def test_the_key_says_of_a_rollout_that_it_explains_no_match(shower, order):
    keys = {method: explain(shower, replace(order, method=method))[-2][5] for method in ("leave-one-out", "attention-rollout")}
    assert "adds to the match" in keys["leave-one-out"]
    assert "flows to the end token" in keys["attention-rollout"] and "match" not in keys["attention-rollout"]


def test_an_edit_needs_a_caption_to_compare_with(shower, order):
    assert "Explain a caption first" in list(shower.compare(Explanation(), "a fox"))[-1][0]
    explanation = found(shower, order)
    assert "Write the caption" in list(shower.compare(explanation, " "))[-1][0]
    assert "200,001 characters" in list(shower.compare(explanation, "x" * 200_001))[-1][0]
    begun = replace(explanation, complete=False)
    assert "not been explained to the end" in list(shower.compare(begun, "a fox"))[-1][0]
    broken = replace(explanation, answers=(Answer("m", "title", problem="It is gone."), explanation.answers[1]))
    assert "It is gone." in comparison(broken, explanation)


def test_a_colour_is_changed_and_only_that():
    from random import Random

    changed = change_colour("A red fox, and a Blue kite.", Random(0))
    assert changed is not None and len(set(changed.split()) ^ set(["A", "red", "fox,", "and", "a", "Blue", "kite."])) == 2
    assert change_colour("A fox.", Random(0)) is None


def test_opening_takes_what_is_new_and_leaves_the_rest(desk, book):
    fields = desk.open(Selection(), None)
    first = fields[3]
    assert first.picture in book.ids and fields[1] == first.caption and "<img" in fields[2]
    request = SimpleNamespace(query_params={"picture": book.ids[5], "left": "picturebook-longclip"})
    linked = desk.open(Selection(), None, request)
    assert linked[3] == Pair(book.captions[5], picture=book.ids[5]) and linked[4] == "picturebook-longclip"
    chosen = Selection(picture=book.ids[7], caption="a kite", left="x")
    taken = desk.open(chosen, first)
    assert taken[3] == Pair("a kite", picture=book.ids[7]) and taken[4:] == ["x", "picturebook-longclip"]
    assert all("value" not in value for value in desk.open(chosen, taken[3]))
    gone = desk.open(Selection(upload="gone"), None)
    assert gone[3] == first
    summed = Selection(picture=book.ids[7], caption="a red fox - snow", search=BY_SUM)
    assert desk.open(summed, first)[1] == desk.carry(summed)[1] == book.captions[7]


def test_the_choice_of_the_retrieval_tab_is_carried_over(desk, book, monkeypatch):
    told = []
    monkeypatch.setattr("gradio.Info", lambda text, **_: told.append(text))
    pair, caption, _ = desk.carry(Selection(picture=book.ids[2], caption="a kite"))
    assert (pair, caption) == (Pair("a kite", picture=book.ids[2]), "a kite") and not told
    for selection in (Selection(), Selection(upload="gone", caption="a")):
        assert all("value" not in value for value in desk.carry(selection))
    assert len(told) == 2
    assert desk.take_example(2)[0].caption in book.short_captions and desk.take_random()[0].picture in book.ids
    assert desk.change_colour("", "no colour").get("value") is None and len(told) == 3
    assert desk.select(Selection(), " a ", None).models == ("a", "")


def test_on_a_public_page_less_may_be_asked_for(order, book):
    public = Explanations(context := Context(public=True), Explaining(context), Requests())
    long = replace(order, pair=replace(order.pair, caption="x" * 20_001))
    assert "at most 20,000" in explain(public, long)[-1][0]
    assert "wanted 100 to 1,000" in explain(public, replace(order, method="shapley", budget=2000))[-1][0]


def test_the_table_has_a_row_a_unit(shower, order):
    explanation = found(shower, order)
    html = table(explanation)
    assert html.count("<tr>") == 1 + len(explanation.answers[1].attribution.seen)
    assert html.count("<td>–</td>") == len(explanation.answers[1].attribution.seen) - len(
        explanation.answers[0].attribution.seen
    )
    assert table(Explanation()) == "" and board(Explanation(), None, 0) == ""


def test_the_default_budget_is_one_that_may_be_asked_for(order, context):
    assert Order.from_form(context, *form(replace(order, method="shapley"))).budget == BUDGET
