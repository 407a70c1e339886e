"""The tab *Which words count*: one caption, one picture, and what each word does to the match, for two models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from demos.attribution.answer import Explanation
from demos.attribution.curves import NOUNS, POSITION, SCORE, Drawing
from demos.attribution.desk import Desk
from demos.attribution.explaining import Explaining
from demos.attribution.explanations import Explanations, check_told
from demos.attribution.lengths import CAPTION, GALLERY, PLOTS, Lengths, check_drawn
from demos.attribution.order import BUDGET, LEAST_BUDGET, LEVELS, METHODS, REMOVALS, Order, Pair, most_budget
from demos.context import Context
from demos.doors import Doors
from demos.events import EXPLAIN, SAVE, UPLOAD, private
from demos.examples import EXAMPLES
from demos.pickers import model_picker
from demos.requests import Requests
from demos.saving import save_on_click
from demos.selection import Selection

NAME, TITLE = "attribute", "Which words count"

HEADING = (
    "<h2>Which words moved the match, and where did the model stop reading?</h2>"
    "<p>A caption and a picture have one cosine. See what each word adds to it, which pixels it speaks of, and what happens "
    "when you change it.</p>"
)
EDITING = (
    "<h2>What if the caption said something else?</h2><p>Change a word and see which model notices. New words are outlined.</p>"
)
READING = "<h2>Where does the model stop reading?</h2>"
BOARD = Path(__file__).with_name("board.js").read_text("utf-8")
SAVE_BOARD = "() => document.querySelector('#words-board .readers')?.dispatchEvent(new Event('save', { bubbles: true }))"
SAVE_PLOT = """() => {
  const plot = document.querySelector('#reading-plot .js-plotly-plot');
  if (plot) window.Plotly.downloadImage(plot, { format: 'png', scale: 2, filename: 'longclip-curve' });
}"""


def build(context: Context, page: gr.Blocks, selection: gr.State) -> None:
    """Adds the tab's components to the block that is open, and its events to the page."""
    fresh, explaining = Selection(), Explaining(context)
    stops = Requests()
    desk, explanations = Desk(context), Explanations(context, explaining, stops)
    lengths = Lengths(context, explaining, stops)
    pair, carried = gr.State(Pair(), time_to_live=3600), gr.State(None, time_to_live=3600)
    explanation, drawing = gr.State(Explanation(), time_to_live=3600), gr.State(Drawing(), time_to_live=3600)
    with gr.Column(elem_id="explaining", elem_classes="sheet") as sheet:
        gr.HTML(HEADING)
        with gr.Row(elem_classes="ask"):
            with gr.Column(scale=5, min_width=280, elem_classes="writing"):
                caption = gr.Textbox(
                    label="Caption",
                    show_label=False,
                    placeholder="What the picture shows, in one sentence or in ten …",
                    lines=5,
                    max_lines=8,
                    elem_id="explained-caption",
                )
                with gr.Row(elem_classes="chips"):
                    go = gr.Button("Explain", variant="primary", elem_id="explain", elem_classes="go", size="sm")
                    stop = gr.Button("Stop", elem_id="stop-explaining", elem_classes="quiet-button", size="sm", visible=False)
                    chips = [gr.Button(example.title, size="sm", elem_classes="chip") for example in EXAMPLES]
                    surprise = gr.Button("Surprise me", size="sm", elem_classes="chip")
                    carry = gr.Button("The picture and caption of the retrieval tab", size="sm", elem_classes="chip")
                    upload = gr.UploadButton("A picture of my own", size="sm", elem_classes="chip", elem_id="explained-file")
            with gr.Column(scale=1, min_width=200):
                panel = gr.HTML(elem_id="explained-picture")
        with gr.Row(elem_classes="switches"):
            level = _switch("Level", [(name.title(), name) for name in LEVELS], "explained-level")
            method = gr.Dropdown(
                [(title, name) for name, title in METHODS.items()],
                value=Order().method,
                label="Method",
                show_label=False,
                container=False,
                elem_id="method",
            )
        with gr.Accordion("Models and numbers", open=False, elem_classes="more"):
            with gr.Row():
                left = model_picker(context, fresh.left, "Model on the left", elem_id="explained-left")
                right = model_picker(context, fresh.right, "Model on the right", elem_id="explained-right")
            with gr.Row():
                removal = gr.Dropdown(
                    [(title, name) for name, title in REMOVALS.items()],
                    value=Order().removal,
                    label="A word that is left out is",
                    info="For leave one out, Shapley values and the maps",
                )
                budget = gr.Slider(
                    LEAST_BUDGET, most_budget(context), BUDGET, step=100, label="Passes", info="That Shapley values may take"
                )
        status, report = gr.HTML(elem_id="explaining-status"), gr.HTML()
        board = gr.HTML(elem_id="words-board", js_on_load=BOARD)
        with gr.Row(elem_classes="key-row"):
            means = gr.HTML()
            with gr.Row(elem_classes="chips saving"):
                as_png = gr.Button("PNG", elem_id="words-png", elem_classes="quiet-button", size="sm")
                as_csv = gr.Button("CSV", elem_id="words-csv", elem_classes="quiet-button", size="sm")
                as_json = gr.Button("JSON", elem_id="words-json", elem_classes="quiet-button", size="sm")
    with gr.Column(elem_id="editing", elem_classes="sheet"):
        gr.HTML(EDITING)
        edited = gr.Textbox(label="The edited caption", show_label=False, lines=3, max_lines=8, elem_id="edited-caption")
        with gr.Row(elem_classes="chips"):
            compare = gr.Button("Compare", variant="primary", elem_id="compare", elem_classes="go", size="sm")
            recolour = gr.Button("Change a colour", size="sm", elem_classes="chip", elem_id="recolour")
        edit_status, comparison = gr.HTML(), gr.HTML(elem_id="comparison-of-captions")
    with gr.Column(elem_id="reading-on", elem_classes="sheet"):
        gr.HTML(READING)
        with gr.Row(elem_classes="switches"):
            what = _switch("Plot", [(title, name) for name, title in PLOTS.items()], "reading-what")
            by = _switch("Kept", [(name.title(), name) for name in NOUNS], "reading-by")
            over = _switch("Of", [("This caption", CAPTION), ("Average of scenes", GALLERY)], "reading-over")
        about, curve_status = (
            gr.HTML(f'<p class="hint">Drawn as soon as a caption is explained: {PLOTS[SCORE]}.</p>'),
            gr.HTML(),
        )
        plot = gr.Plot(show_label=False, container=False, visible=False, elem_id="reading-plot")
        numbers = gr.HTML()
        with gr.Row(elem_classes="chips"):
            plot_png = gr.Button("PNG", elem_id="reading-png", elem_classes="quiet-button", size="sm")
            plot_csv = gr.Button("CSV", elem_id="reading-csv", elem_classes="quiet-button", size="sm")

    heavy = private(EXPLAIN, trigger_mode="multiple")
    form = [explanation, pair, caption, left, right, level, method, removal, budget]
    fields, shown = [pair, caption, panel], [status, board, explanation, edited, stop, means, comparison]
    curves = [explanation, what, by, over]
    curve_shown = [curve_status, about, plot, numbers, drawing, stop]

    def run_on(listen: Any) -> None:
        """Explains, then draws the curves, when `listen` is an event of components, or another event's `then`."""
        run = listen(fn=explanations.explain, inputs=form, outputs=shown, **heavy)
        run.then(lengths.follow, curves, curve_shown, **heavy)

    opened = Doors(context, sheet).tab().select(desk.open, [selection, carried], [*fields, carried, left, right], **private())
    run_on(opened.then)
    run_on(partial(gr.on, [go.click, caption.submit, level.input, method.input, removal.input]))
    for number, chip in enumerate(chips):
        run_on(chip.click(partial(desk.take_example, number), None, fields, **private()).then)
    for button, handler, inputs in ((surprise, desk.take_random, None), (carry, desk.carry, selection)):
        run_on(button.click(handler, inputs, fields, **private()).then)
    run_on(upload.upload(desk.take_picture, [upload, pair, caption], [*fields, report], **private(UPLOAD)).then)
    for picker in (left, right):
        run_on(picker.input(desk.select, [selection, left, right], selection, **private()).then)
    selection.change(lambda chosen: list(chosen.models), selection, [left, right], **private())
    recolour.click(desk.change_colour, [edited, caption], edited, **private()).then(
        explanations.compare, [explanation, edited], [edit_status, comparison, stop], **heavy
    )
    gr.on([compare.click, edited.submit], explanations.compare, [explanation, edited], [edit_status, comparison, stop], **heavy)
    gr.on([what.input, by.input, over.input], lengths.draw, curves, curve_shown, **heavy)
    what.input(lambda chosen: gr.update(visible=chosen != POSITION), what, by, **private())
    # Not by `cancels`: what runs had sent before would still arrive, and stand where it is said that they were stopped.
    stop.click(explanations.stop, **private())
    as_png.click(check_told, explanation, None, **private()).success(None, js=SAVE_BOARD, **private())
    plot_png.click(check_drawn, drawing, None, **private()).success(None, js=SAVE_PLOT, **private())
    save_on_click({as_csv: explanations.save_csv, as_json: explanations.save_json}, explanation, **private(SAVE))
    save_on_click({plot_csv: lengths.save_csv}, drawing, **private(SAVE))


def _switch(label: str, choices: list[tuple[str, str]], place: str) -> gr.Radio:
    """A choice of a few, side by side; the first is chosen."""
    return gr.Radio(
        choices,
        value=choices[0][1],
        label=label,
        show_label=False,
        container=False,
        elem_classes="segmented",
        elem_id=place,
    )
