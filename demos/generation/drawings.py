"""What the *Text to image* tab does: draws while the page watches, compares arms, restores a form from a picture."""

from __future__ import annotations

import io
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import gradio as gr
from PIL import Image

from demos.context import Context, Unavailable
from demos.doors import DRAW
from demos.examples import EXAMPLES, example_row
from demos.generation.order import CUT, LONG, NAMES, Order, most_steps
from demos.generation.sheets import arms
from demos.generation.studio import DETECTOR, NOBODY, Sketch, Studio, draws_other_things
from demos.pieces import note, progress
from demos.requests import Requests, news
from demos.selection import Selection
from demos.slots import DRAW as DRAWING
from demos.work import Key, Note
from longclip.generation.specs import SPECS
from longclip.picturebook.pages import draw_page

# Scenes of the picture book that training never saw.
EXAMPLE_SEED, SHORT_EXAMPLE, LONG_EXAMPLE = 5, 3, 10
STOPPED = note("Stopped. Draw again when you like.")

Update = Any


@dataclass(frozen=True)
class Begun:
    """A drawing that all is loaded for: what is wanted, who judges it, and the visitor's turn that it belongs to."""

    order: Order
    judge: str
    turn: tuple[str, int]


@dataclass
class Drawings:
    """Handlers of the tab. What is shown is (progress or a sentence, arms, sketches, stop button, comparison)."""

    context: Context
    studio: Studio = field(init=False)
    _turns: Requests = field(default_factory=Requests)

    def __post_init__(self) -> None:
        self.studio = Studio(self.context)

    def prepare(self, request: gr.Request | None, judge: str, *form: Any) -> Iterator[list[Update]]:
        """Checks what the form asks for and loads what it needs; behind what is shown comes the `Begun` drawing, or None.

        Apart from `draw`, so that nobody's drawing waits for another visitor's download.
        """
        turn = self._turns.begin(request)
        try:
            order = Order.from_form(self.context.public, *form)
            steps = (
                (progress(step.text(f"Loading {name}"), step.share), None) for name, step in self.studio.preparing(order, judge)
            )
            for status, _ in news(steps, lambda: self._turns.is_current(turn)):
                yield [*_shown(status, busy=True), None]
            if not self._turns.is_current(turn):
                yield [*_shown(STOPPED), None]
                return
        except (ValueError, Unavailable) as error:
            yield [*_shown(note(str(error))), None]
        else:
            yield [*_shown("", busy=True), Begun(order, judge, turn)]

    def draw(self, begun: Begun | None) -> Iterator[list[Update]]:
        """Draws what was begun; every arm is shown as it comes, and stopping says so behind all that was shown."""
        if begun is None:  # what is wanted instead is said already
            yield [gr.skip()] * 5
            return
        sketches: list[Sketch] = []
        for status, found in news(self._drawing(begun), lambda: self._turns.is_current(begun.turn)):
            sketches = found or sketches
            board = arms(sketches) if found else gr.skip()
            yield [status, board, gr.skip(), gr.update(visible=True), gr.skip()]
        yield _ended("" if self._turns.is_current(begun.turn) else STOPPED, sketches)

    def _drawing(self, begun: Begun) -> Iterator[tuple[str, list[Sketch] | None]]:
        """(progress, the arms where there is something new of them), on a thread of its own: one draws at a time."""
        key: Key = ("drawing", secrets.token_hex(8))

        def work(note: Note) -> list[Sketch]:
            sketches: list[Sketch] = []
            for number, sketches in enumerate(self.studio.draw(begun.order, begun.judge)):
                note(number, 0, sketches)
            return sketches

        before, start = None, time.monotonic()
        try:
            for step in self.context.working(key, work, DRAWING):
                if step.waits_for:
                    start = time.monotonic()
                    yield progress(step.text("Drawing"), None), None
                elif step.shown is not before:
                    before = step.shown
                    yield _status(step.shown, time.monotonic() - start), step.shown
                else:
                    yield _status(before or [], time.monotonic() - start), None
            yield "", self.context.worked(key, work, DRAWING)
        finally:
            self.context.runner.forget(key)

    def suit(self, pipeline: str, judge: str) -> list[Update]:
        """What suits another pipeline: a judge (the detector knows nothing of photographs), an encoder, steps and guidance.

        And behind them, what is said of the pipeline itself.
        """
        seen = NOBODY if judge == DETECTOR and draws_other_things(pipeline) else gr.skip()
        spec = next((spec for spec in SPECS if spec.name == pipeline), None)
        told = gr.update(info=self.studio.terms(pipeline))
        if spec is None:
            return [seen, gr.skip(), gr.skip(), gr.skip(), told]
        return [seen, spec.swapped_for, min(spec.steps, most_steps(self.context.public)), spec.guidance, told]

    def stop(self, request: gr.Request | None = None) -> None:
        """Ends what is being drawn for the visitor, within a step."""
        self._turns.begin(request)

    def choices(self, sketches: tuple[Sketch, ...]) -> list[Update]:
        """What can be compared: choices of two pickers, the cut arm and Long-CLIP at first, and the two pictures."""
        done = [sketch for sketch in sketches if sketch.pictures and sketch.finished]
        offered = [(sketch.title, sketch.arm) for sketch in done]
        names = [sketch.arm for sketch in done]
        left = CUT if CUT in names else next(iter(names), None)
        right = LONG if LONG in names else next(reversed(names), None)
        pickers = [gr.update(choices=offered, value=value) for value in (left, right)]
        return [*pickers, self.compare(sketches, left, right)]

    def compare(self, sketches: tuple[Sketch, ...], left: str | None, right: str | None) -> Update:
        """Two arms' first pictures, one over the other."""
        found = {sketch.arm: sketch.pictures[0] for sketch in sketches if sketch.pictures}
        if left not in found or right not in found:
            return gr.update(value=None)
        return gr.update(value=tuple(_enlarged(found[arm]) for arm in (left, right)))

    def restore(self, file: str | None) -> list[Update]:
        """The form's fields and a sentence, from a picture that was downloaded here."""
        from longclip.generation.pictures import LARGEST_FILE, read_png

        fields = len(Order().form())
        if not file:
            return [gr.skip()] * fields + [""]
        try:
            path = Path(file)
            if not path.is_file():
                raise ValueError("That is no file: choose a picture that was downloaded here.")
            data = path.read_bytes() if path.stat().st_size <= LARGEST_FILE else b"\0" * (LARGEST_FILE + 1)
            details = read_png(data)
            order = Order.from_details(details, self.context.public)
            self._check_offered(order)
        except ValueError as error:
            return [gr.skip()] * fields + [note(_sentence(str(error)))]
        unnamed = " and ".join(name for name in NAMES if name not in details)
        but = f" but for its {unnamed}, which it does not name" if unnamed else ""
        return [*order.form(), f'<p class="report" role="status">The form is as it was for that picture{but}: press Draw.</p>']

    def _check_offered(self, order: Order) -> None:
        """Raises ValueError for a pipeline or model that a public page has not among its choices."""
        offered = {name for _, name in self.studio.names()} | set(self.context.models)
        missing = [name for name in (order.pipeline, order.model) if self.context.public and name not in offered]
        if missing:
            raise ValueError(f"The picture was drawn with {' and '.join(missing)}, which this page does not offer.")

    def example(self, long: bool) -> str:
        """A prompt: a sentence, or a caption that comes to its subject behind the 77th token."""
        page = draw_page("held-out", EXAMPLE_SEED, LONG_EXAMPLE if long else SHORT_EXAMPLE)
        return page.shuffled(Random(LONG_EXAMPLE), subject_last=True).text if long else page.short.text

    def arrive(self, selection: Selection, seen: Selection, prompt: str) -> list[Update]:
        """The prompt on opening the tab, and what was taken over: the caption of the other tabs, where it is a new one.

        A prompt of the visitor's own gives way only to a caption that was sent here; the caption that the page begins with is
        nobody's choice.
        """
        caption, sent = selection.caption.strip(), selection.sent == DRAW
        given = prompt.strip() in ("", seen.caption.strip(), self.example(True), self.example(False))
        chosen = caption and caption != self._first_caption()
        if selection == seen or not (sent or (chosen and given)):
            return [gr.skip()] * 2
        return [caption, selection]

    def _first_caption(self) -> str:
        """What the retrieval tab begins with."""
        book = self.context.picture_book()
        return book.captions[example_row(book, EXAMPLES[0])] if len(book) else ""

    def carried(self, selection: Selection) -> str | Update:
        """The caption that the visitor looks at in the retrieval tab."""
        if selection.caption.strip():
            return selection.caption
        gr.Info("Write or pick a caption in the retrieval tab first.", title="No caption there yet")
        return gr.skip()


def _status(sketches: list[Sketch], passed: float) -> str:
    steps = sum(sketch.step for sketch in sketches if not sketch.problem)
    current = next((sketch for sketch in reversed(sketches) if sketch.steps and not sketch.problem), None)
    if current is None:
        return progress("Reading the prompt", 0.0)
    total = current.steps * sum(not sketch.problem for sketch in sketches)
    left = passed * (total - steps) / steps if steps > 2 else None
    return progress(f"{current.title}, step {current.step} of {current.steps}", steps / total, left)


def _shown(status: str, busy: bool = False) -> list[Update]:
    return [status, gr.skip(), gr.skip(), gr.update(visible=busy), gr.skip()]


def _ended(status: str, sketches: list[Sketch]) -> list[Update]:
    comparison = gr.update(visible=_comparable(sketches))
    return [status, arms(sketches), tuple(sketches), gr.update(visible=False), comparison]


def _comparable(sketches: list[Sketch]) -> bool:
    return sum(bool(sketch.pictures) and sketch.finished for sketch in sketches) > 1


def _enlarged(data: bytes) -> Image.Image:
    """A picture of 512 pixels a side at least: the comparison shows it in its own size."""
    with Image.open(io.BytesIO(data)) as picture:
        factor = max(1, 512 // picture.width)
        return picture.convert("RGB").resize((picture.width * factor, picture.height * factor), Image.Resampling.LANCZOS)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."
