"""What the *Evaluate* tab does: measures two models, shows how far it is, draws what came out, and saves it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from demos.context import Context, Unavailable
from demos.evaluation.figures import PLOTS, TO_IMAGE, TO_TEXT, curve_figure, curve_table
from demos.evaluation.labels import describe_set
from demos.evaluation.measuring import Data, Measuring, Step, cost, estimate_seconds
from demos.evaluation.reports import Report
from demos.evaluation.scoreboard import scoreboard
from demos.figures import SIDES
from demos.pieces import note, progress, spell_time
from demos.requests import Requests, news
from demos.selection import PICTURE_BOOK, Selection
from demos.stamps import content_of
from longclip.evaluation import MEASURES, skipped

# The choice of data that stands for a folder or file on this machine.
OWN = "own"
SIZES = (30, 100, 300, 1000)
MOST_PUBLIC = 300
# Pictures on which strangers may measure attribution, which takes about a second each on one core.
MOST_EXPLAINED = 30
# Share of the work after which the time still left is told.
TELLING = 0.08

Update = Any


@dataclass(frozen=True)
class Order:
    """What a visitor wants measured. models: one or two names."""

    data: Data
    models: tuple[str, ...]
    measures: tuple[str, ...]


@dataclass
class _Walk:
    """How far the work is: its cost in all and of what is done, and when it began."""

    total: float
    done: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    def show(self, text: str) -> str:
        share = self.done / self.total
        passed = time.monotonic() - self.begun
        return progress(text, share, passed * (1 - share) / share if share > TELLING else None)


@dataclass
class Measurements:
    """Handlers of the tab. A `form` is (left model, right model, choice of data, path, pictures, measures); what is shown is
    (progress or a sentence, scoreboard, report, whether there is something to stop, and to save). None raises on a visitor's
    input."""

    context: Context
    measuring: Measuring = field(init=False)
    _requests: Requests = field(default_factory=Requests)

    def __post_init__(self) -> None:
        self.measuring = Measuring(self.context)

    def sizes(self) -> list[int]:
        """How many pictures may be asked for."""
        return [size for size in SIZES if size <= MOST_PUBLIC or not self.context.public]

    def select(self, selection: Selection, left: str, right: str) -> Selection:
        """The visitor's selection with this pair of models."""
        return selection.changed(left=(left or "").strip(), right=(right or "").strip())

    def measure(self, request: gr.Request | None, *form: Any) -> Iterator[list[Update]]:
        """Measures set by set, both models on each, and shows every figure as soon as it is there."""
        turn = self._requests.begin(request)
        order = self._order(*form)
        if isinstance(order, str):
            yield self._shown(note(order), gr.skip(), gr.skip())
            return
        problems: list[str] = []
        report = Report()
        for status, found in news(self._steps(order, problems), lambda: self._requests.is_current(turn)):
            report = found or report
            board = scoreboard(report, running=True) if found else gr.skip()
            yield self._shown(status, board, found or gr.skip(), busy=True)
        if not self._requests.is_current(turn):
            problems = ["Stopped. What was measured is kept: measure again to go on."]
        sentences = "".join(note(problem) for problem in dict.fromkeys(problems))
        yield self._shown(sentences, scoreboard(report), report)

    def stop(self, request: gr.Request | None = None) -> None:
        """Ends what is being measured for the visitor, which says so itself: behind all that it has said before."""
        self._requests.begin(request)

    def estimate(self, *form: Any) -> str:
        """How long measuring will take, in plain words."""
        order = self._order(*form)
        if isinstance(order, str):
            return ""
        specs = [self.context.spec(name) for name in order.models]
        small = [bool(spec and spec.source in ("embedded", "trained")) for spec in specs]
        words = spell_time(estimate_seconds(order.data, small, order.measures))
        large = "" if all(small) else " A model that does not ship with this page is taken for twenty times as large as ours."
        return f'<p class="hint">Takes {words} on one core, less where it was measured before.{large}</p>'

    def draw(self, report: Report, data: str | None, direction: str) -> list[Update]:
        """The choices of set, and for each plot whether it is there, its figure and table; first, whether any of them is."""
        names = [name for name in report.figures if any(plot.curves(report, name, TO_IMAGE) for plot in PLOTS)]
        chosen = data if data in names else next(iter(names), None)
        direction = direction if direction in (TO_IMAGE, TO_TEXT) else TO_IMAGE
        updates: list[Update] = []
        for plot in PLOTS:
            curves = plot.curves(report, chosen, direction)
            figure = curve_figure(plot, curves) if curves else None
            updates += [gr.update(visible=bool(curves)), gr.update(value=figure, visible=bool(curves))]
            updates.append(gr.update(value=curve_table(plot, curves), visible=bool(curves)))
        choices = gr.update(choices=[(describe_set(name)[0], name) for name in names], value=chosen, visible=len(names) > 1)
        return [gr.update(visible=bool(names)), choices, *updates]

    def save_csv(self, report: Report) -> str:
        """A file with a line a number."""
        return _save(report, report.write_csv(), "longclip-evaluation.csv")

    def save_json(self, report: Report) -> str:
        """A file with the figures as the command line prints them."""
        return _save(report, report.write_json(), "longclip-evaluation.json")

    def _order(
        self, left: str | None, right: str | None, choice: str, path: str | None, pictures: int, measures: Sequence[str] | None
    ) -> Order | str:
        """What a form asks for, or the sentence that says what is missing."""
        chosen = tuple(name for name in MEASURES if name in (measures or ()))
        if not chosen:
            return "Tick at least one measure."
        if pictures not in self.sizes():
            return f"{pictures!r} pictures cannot be chosen here: wanted {', '.join(map(str, self.sizes()))}."
        if self.context.public and "attribution" in chosen and pictures > MOST_EXPLAINED:
            return (
                f"{MEASURES['attribution'].title} takes long: on this page it is measured on {MOST_EXPLAINED} pictures. Choose "
                f"{MOST_EXPLAINED}, or leave it out."
            )
        own = choice == OWN and not self.context.public
        source = (path or "").strip() if own else PICTURE_BOOK
        if not source:
            return "Write where your data is, as a folder, a file or FORMAT:PATH."
        models = tuple(dict.fromkeys((name or "").strip() for name in (left, right)))
        return Order(Data(source, int(pictures)), models, chosen)

    def _steps(self, order: Order, problems: list[str]) -> Iterator[tuple[str, Report | None]]:
        """The progress, and the report where it has news."""
        report = Report()
        yield "", report
        order = replace(order, data=Data.at(order.data.source, order.data.pictures))
        for name, side in zip(order.models, SIDES, strict=False):
            for status in self._load(name):
                yield status, None
            try:
                report = report.with_model(name, self.context.encoder(name).spec.title, side)
            except Unavailable as error:
                problems.append(str(error))
        if not report.titles:
            return
        try:
            yield from self._take(order, report, problems)
        except Unavailable as error:
            problems.append(str(error))

    def _load(self, name: str) -> Iterator[str]:
        spec = self.context.spec(name)
        title, verb = (spec.title, "Fetching" if spec.source == "hub" else "Loading") if spec else (name, "Loading")
        for step in self.context.loading(name):
            yield progress(step.text(f"{verb} {title}"), step.share)

    def _take(self, order: Order, report: Report, problems: list[str]) -> Iterator[tuple[str, Report | None]]:
        """The steps of an order: yields the progress, and the report where it has news. Raises Unavailable."""
        verb = "Drawing the scenes" if order.data.source == PICTURE_BOOK else "Reading the data"
        for step in self.measuring.reading(order.data):
            yield progress(step.text(verb), step.share or 0), None
        sets = self.measuring.sets(order.data)
        left_out = [skipped(data, order.measures) for data in sets]
        contents = ["" if order.data.source == PICTURE_BOOK else content_of(data) for data in sets]
        steps = [
            (Step(order.data, part, model, name, contents[part]), cost(name, len(data.pictures), number == 0))
            for part, data in enumerate(sets)
            for model in report.titles
            for number, name in enumerate(name for name in order.measures if name not in left_out[part])
        ]
        for data, reasons in zip(sets, left_out, strict=True):
            lines = [f"{data.describe()}.", *(f"{sentence}." for sentence in data.notes)]
            lines += [f"{MEASURES[name].title} does not fit here: {reason}." for name, reason in reasons.items()]
            report = report.with_set(data.name, lines)
        walk = _Walk(sum(weight for _, weight in steps) or 1)
        for step, weight in steps:
            data = sets[step.part]
            what = f"{report.titles[step.model]} · {describe_set(data.name)[0]} · {MEASURES[step.measure].title}"
            for how_far in self.measuring.measuring(step, data):
                text = f"{what}, {how_far.done:,} of {how_far.total:,}" if how_far.total else how_far.text(what)
                yield walk.show(text), None
            try:
                report = report.with_figures(data.name, step.model, self.measuring.figures(step, data))
            except Unavailable as error:
                problems.append(str(error))
            walk.done += weight
            yield walk.show(what), report

    def _shown(self, status: str, board: Update, report: Update, busy: bool = False) -> list[Update]:
        ends = gr.update(visible=any(report.figures.values())) if isinstance(report, Report) else gr.skip()
        return [status, board, report, gr.update(visible=busy), ends]


def _save(report: Report, text: str, name: str) -> str:
    if not any(report.figures.values()):
        raise gr.Error("Press Measure first: there is nothing to save yet.", title="No results yet")
    return save_bytes_to_cache(text.encode("utf-8", "replace"), name, get_upload_folder())
