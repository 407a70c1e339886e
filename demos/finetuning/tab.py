"""The tab *Fine-tune*: a model of one's own in minutes, from the form to the pickers of the other tabs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from demos.context import Context, Unavailable
from demos.events import TRAIN, private
from demos.finetuning import progress
from demos.finetuning.plan import (
    CONTRASTIVE,
    GENTLE_RATE,
    LARGEST_BATCH,
    LONGEST,
    MATCHING,
    RATE,
    RATES,
    SHORTEST,
    SMALLEST_BATCH,
    Plan,
)
from demos.finetuning.trainings import Busy, Training, Trainings
from demos.pieces import model_label, note
from demos.pieces import progress as loading

NAME, TITLE = "fine-tune", "Fine-tune"
# Seconds between two looks at a training.
LOOK = 1.5
HEADING = (
    "<h2>Make a Long-CLIP of your own</h2><p>Train a model on long captions for some minutes, watch it learn, then "
    "compare it with the others.</p>"
)
SWITCHED_OFF = (
    '<p class="report">Fine-tuning is switched off on this page, as it would take all of its machine: start the page at '
    "home with <code>python app.py</code>, or train without a page with <code>python -m longclip train</code>.</p>"
)
STOP, STOPPING = "Stop and keep what was learned", "Stopping …"

Update = Any


@dataclass
class FineTuning:
    """Handlers. A `form` holds the fields of `Plan` in order; none raises on a visitor's input."""

    context: Context
    trainings: Trainings = field(default_factory=Trainings)

    def describe(self, *form: Any) -> str:
        """What pressing Start will do."""
        return Plan(*form).describe(self.context)

    def suit_rate(self, base: str | None) -> float:
        """A learning rate that suits a base: small where there is much to lose."""
        spec = self.context.spec((base or "").strip())
        return RATE if spec is None or spec.source in ("embedded", "trained") else GENTLE_RATE

    def train(self, request: gr.Request, mine: tuple[str, ...], *form: Any) -> Iterator[list[Update]]:
        """Trains a model while the page watches: yields status, figure, start, stop, outcome, download and own models."""
        plan = Plan(*form)
        try:
            recipe = plan.recipe(self.context)
            base = (plan.base or "").strip()
            for step in self.context.loading(base):
                yield _shown(loading(step.text(f"Loading {base}"), step.share), running=True)
            self.context.encoder(base)
            training = self.trainings.start(recipe, 60 * plan.minutes, request.session_hash or "")
        except (ValueError, Unavailable, Busy) as error:
            yield _shown(note(str(error)))
            return
        try:
            yield from self._watch(training)
        finally:
            training.leave()
        if training.problem:
            yield _shown(note(training.problem))
            return
        spec = plan.find_base(self.context)
        self.context.drop_trained()
        own = self.context.trained.keep(training.place, training.folder, spec)
        title = self.context.trained.spec(own).title
        yield [
            "",
            gr.update(value=progress.figure(training), visible=True),
            *_buttons(running=False),
            progress.outcome(training, title, spec.title),
            gr.update(value=str(training.archive), visible=True),
            (own, *mine),
        ]

    def stop(self, request: gr.Request) -> Update:
        """Ends the visitor's training after the step under way."""
        self.trainings.stop(request.session_hash or "")
        return gr.update(value=STOPPING, interactive=False)

    def offer(self, mine: tuple[str, ...], count: int) -> list[Update]:
        """Choices for `count` pickers: the visitor's own models that are still here, then the page's."""
        own = [spec for spec in map(self.context.trained.spec, mine) if spec]
        choices = [(model_label(spec), spec.name) for spec in (*own, *self.context.models.values())]
        return [gr.update(choices=choices) for _ in range(count)]

    def _watch(self, training: Training) -> Iterator[list[Update]]:
        drawn = -1
        while not training.over.wait(LOOK):
            training.watch()
            new, drawn = training.step != drawn, training.step
            plot = gr.update(value=progress.figure(training), visible=True) if new and drawn else gr.skip()
            buttons = _buttons(running=True, stopping=training.stopping)
            yield [progress.status(training), plot, *buttons, "", gr.update(visible=False), gr.skip()]


def build(context: Context, page: gr.Blocks, selection: gr.State) -> None:
    """Adds the tab's components to the block that is open, and its events to the page; the other tabs are there already."""
    if not context.fine_tune:
        with gr.Column(elem_classes="sheet"):
            gr.HTML(HEADING)
            gr.HTML(SWITCHED_OFF)
        return
    fresh, handlers, pickers = Plan(), FineTuning(context), find_pickers(page, context)
    offered = [spec for spec in context.models.values() if spec.embedded or not context.public]
    mine = gr.State((), time_to_live=3600)
    with gr.Column(elem_id="fine-tune", elem_classes="sheet"):
        gr.HTML(HEADING)
        with gr.Row():
            base = gr.Dropdown(
                [(model_label(spec), spec.name) for spec in offered],
                value=fresh.base,
                label="Start from",
                allow_custom_value=not context.public,
            )
            name = gr.Textbox(fresh.name, label="Name of the new model", max_length=40)
            minutes = gr.Slider(SHORTEST, LONGEST, fresh.minutes, step=1, label="Minutes")
        objective = gr.Radio(
            [("Primary component matching (Long-CLIP)", MATCHING), ("Plain contrastive", CONTRASTIVE)],
            value=fresh.objective,
            label="Objective",
        )
        data = gr.Textbox(
            label="Data set of this machine, as FORMAT:PATH",
            placeholder="empty: the picture book",
            visible=not context.public,
            info="Formats: sharegpt4v, table, coco, flickr30k, folder, urban1k, webdataset",
        )
        with gr.Accordion("More losses, captions and numbers", open=False, elem_id="more-of-training"):
            with gr.Row():
                positive_pairs = gr.Slider(0, 2, fresh.positive_pairs, label="Positive-pair regulariser λ")
                hard_negatives = gr.Slider(0, 2, fresh.hard_negatives, label="Weight of hard negative captions")
                distillation = gr.Slider(0, 1, fresh.distillation, label="Self-distillation, share at the end")
                token_states = gr.Slider(0, 10, fresh.token_states, label="Weight of token-state preservation")
            with gr.Row():
                summary_drop = gr.Slider(0, 1, fresh.summary_drop, label="Share of captions without their summary")
                families = gr.Slider(0, 1, fresh.families, label="Share of scenes in hard families")
                sample = gr.Checkbox(fresh.sample, label="Sample the other sentences")
            with gr.Row():
                batch = gr.Slider(SMALLEST_BATCH, LARGEST_BATCH, fresh.batch, step=8, label="Batch")
                components = gr.Slider(1, 64, fresh.components, step=1, label="Principal components")
                rate = gr.Dropdown([(f"{value:g}", value) for value in RATES], value=fresh.rate, label="Learning rate")
        plan = gr.HTML(fresh.describe(context))
        with gr.Row(elem_classes="chips"):
            start = gr.Button("Start", variant="primary", elem_id="start-training", size="sm")
            stop = gr.Button(STOP, elem_id="stop-training", elem_classes="quiet-button", size="sm", visible=False)
        status = gr.HTML(elem_id="training-status")
        outcome = gr.HTML(elem_id="training-outcome")
        download = gr.DownloadButton(
            "Download the model (zip)", visible=False, elem_id="download-model", elem_classes="quiet-button", size="sm"
        )
        plot = gr.Plot(show_label=False, container=False, visible=False, elem_id="training-plot")

    form = [name, base, data, minutes, objective, positive_pairs, hard_negatives, distillation, token_states]
    form += [summary_drop, sample, families, batch, components, rate]
    gr.on([field.change for field in form], handlers.describe, form, plan, trigger_mode="always_last", **private())
    base.input(handlers.suit_rate, base, rate, **private())
    outputs = [status, plot, start, stop, outcome, download, mine]
    # Many may wait at once: whoever comes second is told so, rather than left in a queue.
    done = start.click(handlers.train, [mine, *form], outputs, **private(TRAIN))
    done.then(lambda keys: handlers.offer(keys, len(pickers) + 1), mine, [base, *pickers], **private())
    stop.click(handlers.stop, None, stop, **private())


def find_pickers(page: gr.Blocks, context: Context) -> list[Any]:
    """The components of the page that offer all its models."""
    return [
        block
        for block in page.blocks.values()
        if {value for _, value in getattr(block, "choices", None) or ()} >= set(context.models)
    ]


def _shown(note: str, running: bool = False) -> list[Update]:
    """Values of a training's outputs while there is no figure to show; what an earlier one left stays."""
    return [note, gr.skip(), *_buttons(running), gr.skip(), gr.skip(), gr.skip()]


def _buttons(running: bool, stopping: bool = False) -> list[Update]:
    words = STOPPING if stopping else STOP
    return [gr.update(interactive=not running), gr.update(value=words, interactive=not stopping, visible=running)]
