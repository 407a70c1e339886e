"""What the page says of results that are made by hand, to the letter: numbers, sides, marks, escaped text."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from types import SimpleNamespace

import numpy as np
import pytest
from forms import form, found

from demos.attribution.answer import Answer, Explanation
from demos.attribution.board import table
from demos.attribution.curves import Drawing, Line, draw_caption
from demos.attribution.downloads import write_csv as words_csv
from demos.attribution.downloads import write_json as words_json
from demos.attribution.edits import comparison
from demos.attribution.order import ROLLOUT, SHAPLEY, Order, Pair
from demos.attribution.words import coloured, spell
from demos.context import Context
from demos.evaluation.reports import Report
from demos.evaluation.scoreboard import scoreboard
from demos.finetuning import progress
from demos.generation.order import CUT
from demos.generation.sheets import arms
from demos.generation.studio import Finding, Sketch, Word
from demos.maps import sheets
from demos.maps.atlas import Companions
from demos.pieces import numbers_table
from demos.retrieval import cards, panels, reading
from demos.retrieval.figures import rank_figure, rank_table
from demos.retrieval.ranking import Point, Ranking, look_alikes, write_csv
from demos.retrieval.searches import Searches
from demos.selection import TO_CAPTIONS, TO_PICTURES
from demos.work import Progress
from longclip.attribution import Attribution, Unit
from longclip.attribution.length import LengthCurve
from longclip.gallery import Gallery

MARKUP = '<script>alert(1)</script>" onmouseover="x'
RECALL = "long text to image R@1"


@pytest.fixture(scope="module")
def three(book):
    """Three scenes, the first two of which share a summary; all that a file or a caption may hold is hostile."""
    chosen = book.select(range(3))
    names = [f"{MARKUP}{number}.png" for number in range(3)]
    return replace(chosen, ids=names, captions=[f"{MARKUP} {name}" for name in names], short_captions=[MARKUP, MARKUP, "B"])


def rankings() -> tuple[Ranking, Ranking]:
    return Ranking.of_scores("one", np.array([0.9, 0.5, 0.1])), Ranking.of_scores("two", np.array([0.2, 0.5, 0.9]))


@pytest.mark.parametrize("search", [TO_PICTURES, TO_CAPTIONS])
def test_cards_say_each_number_once_and_no_markup(three, search):
    here, there = rankings()
    html = cards.ranked_cards(cards.Results(three, search, 0, look_alikes(three, 0), ("maps",)), here, there, MARKUP)
    assert "<script" not in html and '" onmouseover' not in html
    titles = [unescape(title) for title in re.findall(r'class="card [^"]*" data-pick="[^"]*" title="([^"]*)"', html)]
    noun = "caption" if search == TO_CAPTIONS else "picture"
    assert titles == [
        f"Rank 1, cosine 0.900, 2 places better than in {MARKUP} (rank 3 there), right {noun}",
        f"Rank 2, cosine 0.500, the same in {MARKUP}, look-alike",
        f"Rank 3, cosine 0.100, 2 places worse than in {MARKUP} (rank 1 there)",
    ]
    assert [unescape(name) for name in re.findall('data-pick="([^"]*)"', html)] == three.ids
    assert re.findall('<span class="change">(.*?)</span>', html) == ["▲ 2", "=", "▼ 2"]
    assert look_alikes(three, 0) == {1} and look_alikes(three, 2) == look_alikes(three, None) == frozenset()


def test_waiting_and_reports_hold_no_markup(three):
    html = cards.waiting(MARKUP, Progress(1, 4), MARKUP)
    assert "<script" not in html and "25 %" in html and "width:25.0%" in html
    waits = cards.waiting(MARKUP, Progress(waits_for="other downloads"), MARKUP)
    assert "<script" not in waits and "waiting for other downloads" in waits and "width" not in waits
    assert "<script" not in cards.notice(MARKUP) + cards.grid(three, [0, 1])
    report = panels.upload_report(replace(three, skipped=tuple(f"{MARKUP}{number}" for number in range(7))))
    assert "<script" not in report and report.count("<li>") == 6 and "and 2 more" in report and "3 pictures added" in report
    assert unescape(re.findall("<li>(.*?)</li>", report)[0]) == f"{MARKUP}0"


def test_a_picture_that_cannot_be_read_is_named_plainly(three):
    report = panels.upload_report(replace(three.select([]), skipped=("the picture a.png cannot be read",)))
    assert "0 pictures added. Left out:" in report and "<li>the picture a.png cannot be read</li>" in report


def test_results_stand_beside_what_the_gallery_lacks(tmp_path, book, context):
    book.open(0).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("words")
    lines = ['{"file_name": "good.png", "caption": "A fox."}', "{bad", '{"file_name": "bad.png", "caption": "A pig."}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    gallery = Gallery.from_folder(tmp_path).readable()
    page = Context()
    page._book = gallery
    shown = found(Searches(page), *form("A fox."))
    assert shown["left"].count("data-pick") == 1 and "from the rest of the gallery" in shown["note"]
    assert "<li>bad.png is not a JPEG" in shown["note"] and "line 2 of metadata.jsonl" in shown["note"]
    assert str(tmp_path) not in shown["note"] and panels.left_out_report(book) == ""


def test_a_text_is_struck_through_from_the_first_character_that_is_not_read(context):
    text = "A pig on a farm. " * 20
    tokens = context.encoder("picturebook-clip").tokenize(text)
    html = reading.reading(context.models["picturebook-clip"], text, tokens)
    cut = tokens.unseen_start
    assert 0 < cut < len(text) and f'">{text[:cut]}<s title="beyond the limit: not read">{text[cut:]}</s></p>' in html
    total = len(context.encoder("picturebook-longclip").tokenize(text))
    assert tokens.total == total and f"<b>77 of {total} tokens</b>" in html and f"{total - 77} not seen" in html
    assert f'style="width:{7700 / total:.1f}%"' in html
    whole = reading.reading(
        context.models["picturebook-clip"], "A pig.", context.encoder("picturebook-clip").tokenize("A pig.")
    )
    assert "all of it is read" in whole and "width:100.0%" in whole and "<s " not in whole


def test_the_table_of_results_is_read_back(three):
    here, there = rankings()
    rows = list(csv.DictReader(io.StringIO(write_csv(three, [there, None, here], 1))))
    assert [row["id"] for row in rows] == three.ids[::-1], "in the order of the first model"
    assert [(row["rank two"], row["cosine two"]) for row in rows] == [("1", "0.900000"), ("2", "0.500000"), ("3", "0.200000")]
    assert [(row["rank one"], row["cosine one"]) for row in rows] == [("3", "0.100000"), ("2", "0.500000"), ("1", "0.900000")]
    assert [row["right"] for row in rows] == ["0", "1", "0"] and rows[0]["caption"] == three.captions[2]


def test_the_curve_stands_where_its_points_are():
    left, right = [Point(1, 20, 9), Point(2, 60, 4), Point(4, 90, 4)], [Point(1, 20, 3), Point(2, 60, 2), Point(4, 90, 1)]
    curves = [("Left", 77, left), ("Right", 248, right)]
    figure = rank_figure(curves, 100, "picture")
    assert [(line.name, list(line.x), list(line.y)) for line in figure.data] == [
        ("Left", [1, 2, 4], [9, 4, 4]),
        ("Right", [1, 2, 4], [3, 2, 1]),
    ]
    assert [list(point) for point in figure.data[0].customdata] == [[20, ""], [60, ""], [90, ", cut"]]
    assert [shape.x0 for shape in figure.layout.shapes] == [3.5], "left of the first point that is beyond 77 tokens"
    assert figure.layout.annotations[0].text == "77 tokens" and figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    rows = re.findall(
        r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>', rank_table(curves)
    )
    assert rows == [("1", "20", "9", "20", "3"), ("2", "60", "4", "60", "2"), ("4", "90", "4", "90", "1")]
    alone = rank_figure([("Left", 77, []), ("Right", 248, right)], 100, "picture")
    assert alone.data[1].line.color == figure.data[1].line.color and "Left" not in rank_table([("Left", 77, []), curves[1]])


def test_a_table_of_numbers_keeps_empty_places_empty():
    html = numbers_table(["x", MARKUP], [[1, None], [MARKUP, 0.0], [12345, 2 / 3]], MARKUP)
    assert re.findall("<td>(.*?)</td>", html) == ["–", "0", "0.6667"] and "<script" not in html and ">12,345<" in html


def test_the_scoreboard_by_hand():
    errors = "margin text to image, negative (%)"
    figures = {"left": {RECALL: 25.0, errors: 40.0}, "right": {RECALL: 100.0, errors: 10.0, "zero-shot accuracy": 50.0}}
    report = Report({"left": MARKUP, "right": "R"}, {"scenes": figures}, {"scenes": [MARKUP]})
    html = scoreboard(report)
    assert "<script" not in html
    rows = {name: cells for name, cells in re.findall(r'<tr><th scope="row"[^>]*>(.*?)</th>(.*?)</tr>', html)}
    recall, wrong, missing = (
        next(cells for name, cells in rows.items() if part in name) for part in ("finds its", "fit a wrong", "subject")
    )
    assert '>25.0<i style="width:25.0%"></i>' in recall and '>100.0<i style="width:100.0%"></i>' in recall
    assert 'class="up"' in recall and "▲ 75.0" in recall and 'class="up"' in wrong and "▲ 30.0" in wrong
    assert re.findall(r'<td class="left">(.*?)</td>', missing) == ["–"] and missing.endswith("<td></td>")
    swapped = scoreboard(Report({"right": "R", "left": "L"}, {"scenes": figures}))
    assert "▼ 75.0" in swapped and "▼ 30.0" in swapped and "▲" not in swapped
    lines = list(csv.reader(io.StringIO(report.write_csv())))
    assert ["scenes", RECALL, "", "25.0", "100.0"] in lines and ["scenes", "zero-shot accuracy", "", "", "50.0"] in lines


@pytest.fixture(scope="module")
def told(context):
    """An explanation by hand: of "a <b>fox</b> sat" the first word adds, the second takes; the left model is gone."""
    text = "a <b>fox</b> sat"
    spans = [(0, 1), (2, 12), (13, 16)]
    units = tuple(Unit(text[a:b], a, b, number + 1, number + 2, b) for number, (a, b) in enumerate(spans))
    values, errors = np.array([0.25, -0.125, 0.0]), np.array([0.01, 0.02, 0.03])
    found = Attribution("shapley", "words", None, text, units, values, 0.375, 9, 1.5, errors=errors)
    answer = Answer("two", "Two", "abc", context.encoder("picturebook-longclip").tokenize(text), found)
    return Explanation(
        Order(Pair(text, picture="x"), ("one", "two")), (Answer("one", "One", problem="It is gone."), answer), True
    )


def test_words_have_the_colour_of_their_sign_and_no_markup(told):
    ((answer, attribution),) = told.told
    html = coloured(attribution, answer.tokens)
    assert "<b>" not in html and "<b>" not in table(told)
    shown = re.findall('<span class="word (up|down)[^"]*" style="--share:([0-9.]*)" title="([^"]*)"', html)
    assert shown == [("up", "1.00", "+0.2500"), ("down", "0.50", "−0.1250"), ("up", "0.00", "+0.0000")]
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', table(told))
    assert [(unescape(text), cell) for text, cell in rows] == [
        ("a", "+0.2500 ± 0.0100"),
        ("<b>fox</b>", "−0.1250 ± 0.0200"),
        ("sat", "+0.0000 ± 0.0300"),
    ]
    assert spell(ROLLOUT, 0.125) == "12.5 %" and spell(SHAPLEY, -0.5, float("nan")) == "−0.5000"


def test_saved_explanations_say_what_the_page_says(told):
    rows = list(csv.reader(io.StringIO(words_csv(told))))
    assert rows[0] == ["start", "end", "text", "value two", "error two"]
    assert rows[2] == ["2", "12", "<b>fox</b>", "-0.125", "0.02"]
    saved = json.loads(words_json(told))
    assert list(saved["models"]) == ["two"] and saved["caption"] == told.order.pair.caption
    units = saved["models"]["two"]["units"]
    assert [(unit["value"], unit["error"]) for unit in units] == [(0.25, 0.01), (-0.125, 0.02), (0.0, 0.03)]
    assert units[1]["start"] == 2 and units[1]["tokens"] == [2, 3] and saved["models"]["two"]["score"] == 0.375


def test_an_edit_that_helps_is_called_better(told):
    ((answer, attribution),) = told.told
    after = replace(answer, attribution=replace(attribution, score=0.5))
    both = [replace(told, answers=(told.answers[0], one)) for one in (answer, after)]
    html = comparison(*both)
    assert "0.375 → 0.500" in html and "▲ fits better by 0.1250" in html and "It is gone." in html
    assert "0.500 → 0.375" in comparison(*both[::-1]) and "▼ fits worse by 0.1250" in comparison(*both[::-1])
    assert "<b>fox" not in html.replace("<b>0", "") and "nothing changes" in comparison(both[0], both[0])


def test_what_is_kept_of_a_caption_stands_at_its_place():
    curve = LengthCurve(
        ends=np.array([0, 2, 5]),
        tokens=np.array([2, 3, 30]),
        words=np.array([0, 1, 2]),
        sentences=np.array([0, 1, 1]),
        scores=np.array([0.1, 0.2, 0.4]),
        ranks=np.array([9, 4, 1]),
    )
    words = draw_caption([("A", curve, 30)], "score", "words", 50)
    assert list(zip(words.lines[0].x.tolist(), words.lines[0].y.tolist(), strict=True)) == [(0, 0.1), (1, 0.2), (2, 0.4)]
    assert words.marks == {2.0: "token 20"} and words.y == "cosine with the picture"
    tokens = draw_caption([("A", curve, 30)], "rank", "tokens", 50)
    assert tokens.lines[0].x[0] == 2 and tokens.lines[0].y.tolist() == [9] + [4] * 27 + [1] and tokens.ranked
    rows = Drawing((Line("A", np.array([1, 2]), np.array([0.5, 0.25])), Line("B", np.array([2]), np.array([0.0]))), "x").rows()
    assert rows == (["x", "A", "B"], [[1, 0.5, None], [2, 0.25, 0.0]])


def test_figures_and_points_of_the_maps_by_hand(three):
    html = sheets.figures(
        [MARKUP, "R"], [Companions(0.9, 0.25, 0.5), Companions(0.8, None, 0.25)], np.array([0.5, 0.5, 0.5, 1, 1, 1]), 3
    )
    assert "<script" not in html and "<b>50%</b> of a picture's" in html and "of a caption's <b>100%</b>" in html
    assert re.findall("<td>([^<]+)</td>", html) == ["0.90", "0.80", "25%", "–", "0.50", "0.25"]
    assert re.findall('<th scope="col" class="(left|right)">', html) == ["left", "right"]
    for point, kind in ((1, "picture"), (4, "caption")):
        card = sheets.hover_card(three, point)
        assert f"<b>{kind}</b>" in card and "<script" not in card
        assert f"<h3>This {kind}</h3>" in sheets.chosen(three, point, None)
    changed = sheets.changed(three, np.array([1, 0, 0.5, 0, 0.5, 1]))
    assert re.findall('data-point="([0-9])"', changed) == ["1", "2", "0", "3", "4", "5"] and "0 of 2 shared" in changed
    table = sheets.points_table(three, ["L", "R"], [np.array([[0.5, 1]] * 6), np.array([[2, 3.25]] * 6)])
    rows = re.findall('<th scope="row">(.*?)</th>(.*?)</tr>', table)
    assert unescape(rows[4][0]) == f"caption {three.ids[1]}" and re.findall("<td>(.*?)</td>", rows[4][1]) == [
        "0.5",
        "1",
        "2",
        "3.25",
    ]


def test_what_a_judge_found_is_said_as_it_is():
    findings = (Finding("kite", 0, 1.0, True, True), Finding("barn", 9, 0.0, False), Finding("fox", 9, 1.0, True, False))
    sketch = Sketch(CUT, f"{MARKUP} tail", 77, 90, len(MARKUP), 8, 2, 2, pictures=(b"png",), judged_by="J", findings=findings)
    html = arms([replace(sketch, words=(Word(0, len(MARKUP), b"\0\1\2\3"),))])
    chips = re.findall('<li class="(yes|no|half)">(.*?)</li>', html)
    assert [(kind, re.sub("<[^>]*>", "", text)) for kind, text in chips] == [
        ("yes", "✓ kite"),
        ("no", "✗ not found: barn"),
        ("half", "~ fox, in another colour"),
    ]
    assert "<b>2 of 3</b> things found · <b>1 of 2</b> beyond token 77" in html and "<script" not in html
    assert 'data-map="AAECAw=="' in html and "<b>90 tokens</b>" in html and "not read to its end" in html


def test_what_a_training_changed_is_said_as_it_is():
    names = ["long text to image R@1", "short image to text R@1"]
    before, stretched, after = (
        {name: value for name, value in zip(names, pair, strict=True)} for pair in ((20, 50), (10, 40), (60, 45))
    )
    recipe = SimpleNamespace(batch=8, steps=100, name=MARKUP)
    rows = [(step, {"loss": 1 / step, names[0]: 10.0 * step}) for step in (1, 2, 4)]
    over = SimpleNamespace(is_set=lambda: True)
    training = SimpleNamespace(
        before=before, stretched=stretched, after=after, recipe=recipe, step=4, rows=rows, over=over, warnings=()
    )
    html = progress.outcome(training, MARKUP, MARKUP)
    assert "<script" not in html and "32 pairs in 4 steps, stopped 96 early" in html
    cells = re.findall(
        '<tr><th scope="row">([^<]*)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td><td class="(.*?)">(.*?)</td>', html
    )
    assert cells == [
        ("long caption → picture", "20 %", "10 %", "60 %", "up", "▲ 40"),
        ("picture → summary", "50 %", "40 %", "45 %", "down", "▼ 5"),
    ]
    table = progress.numbers(training)
    assert "recall: long captions (%)" in table and "loss: loss" in table
    (first,) = re.findall('<th scope="row">1</th>(.*?)</tr>', table)
    assert re.findall("<td>(.*?)</td>", first) == ["10", "–", "1"]


def test_no_table_of_ranks_holds_the_whole_name_of_a_model_that_was_trained_here(three):
    mine = [Ranking.of_scores(f"yours:mine/{secret}", np.array([0.9, 0.5, 0.1])) for secret in ("secret", "hidden")]
    head = write_csv(three, mine, 0).splitlines()[0]
    assert head.startswith("id,rank yours:mine,cosine yours:mine,rank yours:mine (2),cosine yours:mine (2),right")
