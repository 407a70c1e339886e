"""The *Evaluate* tab: what is measured and shown on good and bad input, labels, tables, plots and files."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import gradio as gr
import pytest
from forms import PAIR

from demos.context import Unavailable
from demos.evaluation.figures import PLOTS, TO_IMAGE, curve_figure, curve_table
from demos.evaluation.labels import SETS, describe_figure, describe_set
from demos.evaluation.measurements import OWN, Measurements
from demos.evaluation.measuring import Data, Step, estimate_seconds
from demos.evaluation.reports import Report, shipped_report
from demos.evaluation.scoreboard import scoreboard
from demos.figures import STYLES
from demos.pieces import spell_time
from demos.selection import PICTURE_BOOK
from longclip.evaluation import MEASURES, measure

ALL = ("retrieval", "zeroshot", "length", "alignment")
HOSTILE = '<script>alert(1)</script>"${x}{{y}}'


@pytest.fixture(scope="module")
def measurements(context) -> Measurements:
    return Measurements(context)


def form(models=PAIR, choice=PICTURE_BOOK, path="", pictures=30, measures=("retrieval",)) -> tuple:
    return *models, choice, path, pictures, list(measures)


def last(measurements: Measurements, *form) -> dict:
    """What is shown in the end, by name."""
    return dict(zip(("status", "board", "report", "stop", "ends"), list(measurements.measure(None, *form))[-1], strict=True))


@pytest.fixture(scope="module")
def shown(measurements) -> list[list]:
    """All that a visitor is shown while both models are measured."""
    return list(measurements.measure(None, *form(measures=ALL)))


@pytest.fixture(scope="module")
def report(shown) -> Report:
    return shown[-1][2]


def test_the_figures_are_those_of_the_library(report, context):
    assert list(report.figures) == list(SETS) and list(report.titles) == list(PAIR)
    data = Data(pictures=30).read()[1]
    assert report.figures[data.name][PAIR[1]] == measure(context.encoder(PAIR[1]), data, ALL)
    assert "zero-shot accuracy" in report.figures["scenes"][PAIR[0]]
    assert "Zero-shot does not fit here: the members of a family show the same." in report.left_out["hard families"]


def test_results_appear_as_they_come(shown):
    reports = [values[2] for values in shown if isinstance(values[2], Report) and values[2].figures]
    counts = [sum(len(models) for models in found.figures.values()) for found in reports]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == 6
    assert all(values[3]["visible"] for values in shown[:-1]) and not shown[-1][3]["visible"]
    texts = [values[0] for values in shown]
    assert any("Drawing the scenes" in text for text in texts)
    assert any("Late families · Alignment" in text for text in texts) and texts[-1] == ""


def test_the_scoreboard_compares_with_more_than_colour(report):
    html = scoreboard(report)
    assert html.count("<section") == 3 and "▲" in html and 'class="up"' in html and "better" in html
    assert "Picture book Long-CLIP" in html and "…</td>" not in html
    html = scoreboard(
        Report({"a": HOSTILE, "b": "B"}, {HOSTILE: {"a": {HOSTILE: 1.0}, "b": {HOSTILE: None}}}, {HOSTILE: [HOSTILE]})
    )
    assert "<script" not in html and "–" in html


def test_less_is_better_where_it_is():
    name = "margin text to image, negative (%)"
    html = scoreboard(Report({"a": "A", "b": "B"}, {"scenes": {"a": {name: 40.0}, "b": {name: 10.0}}}))
    assert 'class="up"' in html and "▲ 30.0" in html
    html = scoreboard(Report({"a": "A", "b": "B"}, {"scenes": {"a": {"temperature": 0.01}, "b": {"temperature": 0.02}}}))
    assert "▲" not in html and "+0.01" in html


def test_every_figure_has_a_plain_name(report):
    for data in report.figures:
        assert describe_set(data)[0] != data
        for name in report.names(data):
            if not isinstance(report.figures[data][PAIR[0]][name], dict):
                assert describe_figure(name).text != name, name
    assert describe_figure("something new").text == "something new"


def test_plots_are_drawn_of_what_was_measured(report, measurements):
    for plot in PLOTS:
        curves = plot.curves(report, "scenes", TO_IMAGE)
        figure = curve_figure(plot, curves)
        assert [trace.name for trace in figure.data] == list(report.titles.values())
        assert list(figure.data[0].x) == sorted(figure.data[0].x)
    length = curve_figure(PLOTS[0], PLOTS[0].curves(report, "scenes", TO_IMAGE))
    assert length.layout.shapes[0].x0 == 77
    panel, sets, *plots = measurements.draw(report, None, TO_IMAGE)
    assert panel["visible"] and sets["value"] == "scenes" and all(update["visible"] for update in plots)
    panel, sets, *plots = measurements.draw(last(measurements, *form())["report"], "scenes", TO_IMAGE)
    assert not panel["visible"] and not any(update["visible"] for update in plots)


@pytest.mark.parametrize("left", [True, False])
def test_a_model_keeps_its_colours_where_the_other_cannot_be_had(measurements, left):
    models = (PAIR[1], "no-such-model") if left else ("no-such-model", PAIR[1])
    alone, side = last(measurements, *form(models, measures=("alignment",))), "left" if left else "right"
    assert f'<th scope="col" class="{side}">' in alone["board"] and f'<td class="{side}">' in alone["board"]
    for plot in PLOTS[1:]:
        curves = plot.curves(alone["report"], "scenes", TO_IMAGE)
        (line,) = curve_figure(plot, curves).data
        assert (line.line.color, line.line.dash, line.marker.symbol) == STYLES[side]


def test_every_plot_has_its_numbers_as_a_table(report):
    for plot in PLOTS:
        curves = plot.curves(report, "scenes", TO_IMAGE)
        rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', curve_table(plot, curves))
        shown = [(place, re.findall("<td>(.*?)</td>", cells)) for place, cells in rows]
        places = sorted(curves[0][2])
        assert shown == [(f"{place:g}", [f"{points[place]:.4g}" for *_, points in curves]) for place in places]
    assert curve_table(PLOTS[0], []) == ""


def test_reports_are_saved(report, measurements):
    saved = Path(measurements.save_json(report))
    assert json.loads(saved.read_text("utf-8")) == report.figures
    rows = list(csv.reader(Path(measurements.save_csv(report)).read_text("utf-8").splitlines()))
    assert rows[0] == ["set", "figure", "place", *PAIR]
    found = report.figures["scenes"]
    assert ["scenes", "long text to image R@1", "", *(str(found[name]["long text to image R@1"]) for name in PAIR)] in rows
    assert sum(row[1] == "text to image R@1 by tokens" and row[0] == "scenes" for row in rows) == 8
    with pytest.raises(gr.Error, match="Press Measure first"):
        measurements.save_csv(Report())


def test_a_saved_report_keeps_the_names_of_trained_models_secret():
    one, other = "yours:mine/secret", "yours:mine/hidden"
    saved = Report({one: "yours: mine", other: "yours: mine"}, {"scenes": {one: {"classes": 3}, other: {"classes": 4}}})
    assert json.loads(saved.write_json()) == {"scenes": {"yours:mine": {"classes": 3}, "yours:mine (2)": {"classes": 4}}}
    assert saved.write_csv().splitlines() == ["set,figure,place,yours:mine,yours:mine (2)", "scenes,classes,,3,4"]


def test_one_model_on_both_sides_is_one_column(measurements):
    found = last(measurements, *form(models=(PAIR[0], PAIR[0])))
    assert list(found["report"].titles) == [PAIR[0]] and "Difference" not in found["board"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"measures": ()}, "Tick at least one measure"),
        ({"measures": ["nonsense"]}, "Tick at least one measure"),
        ({"pictures": 10**9}, "cannot be chosen here"),
        ({"choice": OWN}, "Write where your data is"),
        ({"choice": OWN, "path": f"/no/{HOSTILE}"}, "&lt;script&gt;"),
        ({"models": ("", HOSTILE)}, "&lt;script&gt;"),
    ],
)
def test_what_cannot_be_measured_gets_a_sentence(measurements, wrong, sentence):
    found = last(measurements, *form(**wrong))
    assert sentence in found["status"] and "<script" not in found["status"] and 'role="alert"' in found["status"]


def test_a_model_that_cannot_be_fetched_leaves_the_other(measurements, monkeypatch):
    from longclip import hub

    def absent(*_):
        raise hub.HubError("the hub cannot be reached.")

    monkeypatch.setattr(hub, "fetch", absent)
    found = last(measurements, *form(models=("openai/ViT-B-16", PAIR[1])))
    assert "the hub cannot be reached" in found["status"] and list(found["report"].titles) == [PAIR[1]]
    assert found["report"].figures["scenes"][PAIR[1]]


def test_a_failing_measure_is_a_sentence(measurements, monkeypatch):
    from longclip.evaluation import probe

    def fail(*_, **__):
        raise ValueError("nothing to learn from")

    monkeypatch.setattr(probe, "measure_probe", fail)
    found = last(measurements, *form(measures=("retrieval", "probe")))
    assert found["status"].count("nothing to learn from.") == 1 and found["report"].figures["late families"][PAIR[1]]


def test_work_that_is_left_stops(measurements):
    data = Data(pictures=30).read()
    step = Step(Data(pictures=31), 0, PAIR[0], "retrieval")
    steps = measurements.measuring.measuring(step, data[0])
    next(steps)
    steps.close()
    assert measurements.measuring.figures(step, data[0])["long text to image R@1"] >= 0


def test_a_public_page_measures_the_picture_book_only(context, monkeypatch, measurements):
    monkeypatch.setattr(context, "public", True)
    assert max(measurements.sizes()) == 300
    assert "cannot be chosen here" in last(measurements, *form(pictures=1000))["status"]
    assert list(last(measurements, *form(choice=OWN, path="/etc"))["report"].figures) == list(SETS)


def test_data_of_ones_own_is_measured(measurements, book, tmp_path):
    lines = []
    for row in range(6):
        book.open(row).save(tmp_path / f"{row}.png")
        lines.append(json.dumps({"image": f"{row}.png", "caption": book.captions[row]}))
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    found = last(measurements, *form(choice=OWN, path=str(tmp_path / "pairs.jsonl")))
    assert found["status"] == "" and len(found["report"].figures) == 1, found["status"]


def test_what_ships_is_shown_where_it_is(context, monkeypatch, tmp_path, report):
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    assert shipped_report(context) is None
    (tmp_path / "evaluation.json").write_text(report.write_json())
    found = shipped_report(context)
    assert found is not None and found.figures == report.figures and found.titles == report.titles
    printed = {data: {**models, "data set": {"pictures": 3}} for data, models in report.figures.items()}
    (tmp_path / "evaluation.json").write_text(json.dumps(printed))
    assert shipped_report(context) == found
    for broken in ("{", "[1]", '{"scenes": 3}'):
        (tmp_path / "evaluation.json").write_text(broken)
        assert shipped_report(context) is None


def test_times_are_told_in_plain_words(measurements):
    assert [spell_time(seconds) for seconds in (1, 22, 70, 200, 4000, 9000)] == [
        "a few seconds",
        "about 20 seconds",
        "about a minute",
        "about 3 minutes",
        "about an hour",
        "about 2 hours",
    ]
    small, large = (estimate_seconds(Data(pictures=100), [True, kind], ["retrieval"]) for kind in (True, False))
    assert 0 < small < large
    assert "seconds" in measurements.estimate(*form()) and "twenty times" in measurements.estimate(
        *form(models=("openai/ViT-B-16", PAIR[0]))
    )
    assert measurements.estimate(*form(measures=())) == ""


def test_a_set_that_cannot_be_read_is_unavailable(measurements):
    with pytest.raises(Unavailable, match="no-such-place"):
        measurements.measuring.sets(Data("no-such-place"))


def test_all_measures_can_be_chosen(measurements):
    assert measurements.estimate(*form(measures=MEASURES)) != ""
