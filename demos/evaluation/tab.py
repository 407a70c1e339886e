"""The tab *Evaluate*: two models measured on the same pictures and captions, figure by figure."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from demos.context import Context
from demos.evaluation.figures import PLOTS, TO_IMAGE, TO_TEXT
from demos.evaluation.measurements import OWN, Measurements
from demos.evaluation.reports import Report, shipped_report
from demos.evaluation.scoreboard import KEY, scoreboard
from demos.events import EVALUATE, SAVE, private
from demos.pickers import model_picker
from demos.pieces import model_terms
from demos.saving import save_on_click
from demos.selection import PICTURE_BOOK, Selection
from longclip.evaluation import CHEAP, MEASURES

NAME, TITLE = "evaluate", "Evaluate"

SHIPPED = (
    "<h2>What the two models that ship with this page reach</h2>"
    "<p>On scenes of the picture book that training never saw: what <code>python -m longclip evaluate --data picturebook "
    "--json</code> prints.</p>"
)
HEADING = "<h2>Measure it yourself</h2><p>Any two models, on scenes that training never saw{own}.</p>"
PLOTS_HEADING = "<h2>Behind the figures</h2><p>What the length and alignment measures found, both models in each plot.</p>"
DEFAULT_SIZE = 100


def build(context: Context, page: gr.Blocks, selection: gr.State) -> None:
    """Adds the tab's components to the block that is open, and its events to the page."""
    fresh = Selection()
    measurements = Measurements(context)
    report = gr.State(Report(), time_to_live=3600)
    if shipped := shipped_report(context):
        with gr.Column(elem_classes=["sheet"], elem_id="shipped-evaluation"):
            gr.HTML(SHIPPED)
            gr.HTML(scoreboard(shipped))
    with gr.Column(elem_classes=["sheet"], elem_id="evaluation"):
        gr.HTML(HEADING.format(own="" if context.public else " or on captioned pictures of your own"))
        pickers, terms = [], []
        with gr.Row(elem_classes="sides"):
            for side, name in (("left", fresh.left), ("right", fresh.right)):
                with gr.Column(elem_classes=["side", side], min_width=280):
                    place = f"evaluate-{side}-model"
                    picker = model_picker(context, name, f"Model on the {side}", show_label=False, elem_id=place)
                    pickers.append(picker)
                    terms.append(gr.HTML(model_terms(context, name)))
        with gr.Row(elem_classes="switches"):
            data = gr.Radio(
                [("The picture book", PICTURE_BOOK), ("Data of my own", OWN)],
                value=PICTURE_BOOK,
                label="Data",
                show_label=False,
                container=False,
                elem_classes="segmented",
                visible=not context.public,
            )
            pictures = gr.Radio(
                [
                    (f"{size:,} pictures" if size == measurements.sizes()[0] else f"{size:,}", size)
                    for size in measurements.sizes()
                ],
                value=DEFAULT_SIZE,
                label="Pictures of each set",
                show_label=False,
                container=False,
                elem_classes="segmented",
                elem_id="evaluation-size",
            )
        path = gr.Textbox(
            label="A folder or file on this machine, or FORMAT:PATH as the command line takes it",
            placeholder="coco:/data/annotations/captions_val2017.json",
            visible=False,
            elem_id="evaluation-path",
        )
        measures = gr.CheckboxGroup(
            [(f"{measure.title}: {measure.about[0].lower()}{measure.about[1:]}", name) for name, measure in MEASURES.items()],
            value=list(CHEAP),
            label="Measures",
            show_label=False,
            container=False,
            elem_classes="measures",
        )
        form = [*pickers, data, path, pictures, measures]
        with gr.Row(elem_classes="chips"):
            go = gr.Button("Measure", variant="primary", elem_id="measure", size="sm")
            stop = gr.Button("Stop", elem_id="stop-measuring", elem_classes="quiet-button", size="sm", visible=False)
            estimate = gr.HTML(
                measurements.estimate(fresh.left, fresh.right, PICTURE_BOOK, "", DEFAULT_SIZE, CHEAP), elem_id="estimate"
            )
        status = gr.HTML(elem_id="measuring")
        board = gr.HTML(elem_id="scoreboard")
        with gr.Row(elem_classes="key-row", visible=False) as ends:
            gr.HTML(KEY)
            as_csv = gr.Button("Results as CSV", elem_id="evaluation-csv", elem_classes="quiet-button", size="sm")
            as_json = gr.Button("Results as JSON", elem_id="evaluation-json", elem_classes="quiet-button", size="sm")
    with gr.Column(elem_classes=["sheet"], elem_id="evaluation-plots", visible=False) as plots:
        gr.HTML(PLOTS_HEADING)
        with gr.Row(elem_classes="switches"):
            part = gr.Radio([], label="Set", show_label=False, container=False, elem_classes="segmented")
            direction = gr.Radio(
                [("Text → picture", TO_IMAGE), ("Picture → text", TO_TEXT)],
                value=TO_IMAGE,
                label="Direction",
                show_label=False,
                container=False,
                elem_classes="segmented",
            )
        drawn: list[Any] = [plots, part]
        with gr.Row(elem_classes="plots"):
            for plot in PLOTS:
                with gr.Column(visible=False, min_width=280) as column:
                    gr.HTML(f"<h3>{plot.title}</h3><p>{plot.about}</p>")
                    drawn += [column, gr.Plot(show_label=False, container=False, visible=False), gr.HTML(visible=False)]

    shown, curves = [status, board, report, stop, ends], [report, part, direction]
    settled = go.click(measurements.select, [selection, *pickers], selection, **private())
    run = settled.then(measurements.measure, form, shown, **private(EVALUATE))
    run.then(measurements.draw, curves, drawn, **private())
    stop.click(measurements.stop, **private())
    gr.on([part.input, direction.input], measurements.draw, curves, drawn, **private())
    data.input(lambda choice: gr.update(visible=choice == OWN), data, path, **private())
    selection.change(lambda chosen: list(chosen.models), selection, pickers, **private())
    for picker, term in zip(pickers, terms, strict=True):
        picker.change(partial(model_terms, context), picker, term, **private())
    gr.on([field.change for field in form], measurements.estimate, form, estimate, **private())
    save_on_click({as_csv: measurements.save_csv, as_json: measurements.save_json}, report, **private(SAVE))
