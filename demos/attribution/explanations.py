"""What the tab *Which words count* shows of a caption and a picture: answers as they come, edits compared, files to save."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from demos.attribution.answer import Answer, Explanation
from demos.attribution.board import board, key
from demos.attribution.downloads import write_csv, write_json
from demos.attribution.edits import comparison
from demos.attribution.explaining import Explaining
from demos.attribution.order import Order, Pair
from demos.context import Context, Unavailable
from demos.pieces import note, progress
from demos.requests import Requests, news

Update = Any
# Something that is being done, the share of it, and an answer that is new.
News = tuple[str, float | None, Answer | None]
# Progress, and the explanation where there is something new of it.
Step = tuple[str, Explanation | None]


@dataclass
class Explanations:
    """Handlers that compute. What `explain` shows is (progress or a sentence, board, explanation, caption to edit, stop button,
    key of its colours, the edit compared). None raises on a visitor's input."""

    context: Context
    explaining: Explaining
    stops: Requests
    _turns: Requests = field(default_factory=Requests)
    _edits: Requests = field(default_factory=Requests)

    def explain(
        self,
        explanation: Explanation,
        pair: Pair,
        caption: str,
        left: str,
        right: str,
        level: str,
        method: str,
        removal: str,
        budget: float,
        request: gr.Request | None = None,
    ) -> Iterator[list[Update]]:
        """Words of both models first, then the maps: each is shown as soon as it is there."""
        turn, stops = self._turns.begin(request), self.stops.latest(request)
        try:
            order = Order.from_form(self.context, pair, caption, left, right, level, method, removal, budget)
            gallery, row = self.context.gallery(order.pair.gallery), self.explaining.row(order.pair)
        except (ValueError, Unavailable) as error:
            yield [note(str(error)), *_nothing(3), gr.update(visible=False), *_nothing(2)]
            return
        same = explanation.order.pair == order.pair
        edited, compared = (gr.skip(), gr.skip()) if same else (order.pair.caption, "")
        done = explanation.fine and explanation.order == order
        for status, found in self._news(() if done else self._answering(order, with_maps=True), self._turns, turn, stops):
            if found is None:
                yield [status, *_nothing(3), gr.update(visible=True), *_nothing(2)]
            else:
                shown = [status, board(found, gallery, row), found, edited, gr.update(visible=True)]
                yield [*shown, key(order.method), compared]
        if self._turns.is_current(turn):
            yield [last_words(self.stops, stops), *_nothing(3), gr.update(visible=False), *_nothing(2)]

    def compare(
        self, explanation: Explanation, edited: str | None, request: gr.Request | None = None
    ) -> Iterator[list[Update]]:
        """The same for an edit of the caption: progress or a sentence, both captions compared, stop button."""
        turn, stops = self._edits.begin(request), self.stops.latest(request)
        edited = edited or ""
        if problem := self._find_problem(explanation, edited):
            yield [note(problem), gr.skip(), gr.update(visible=False)]
            return
        steps = self._answering(explanation.order.of_caption(edited), with_maps=False)
        for status, found in self._news(steps, self._edits, turn, stops):
            yield [status, gr.skip() if found is None else comparison(explanation, found), gr.update(visible=True)]
        if self._edits.is_current(turn):
            yield [last_words(self.stops, stops), gr.skip(), gr.update(visible=False)]

    def stop(self, request: gr.Request | None = None) -> None:
        """Ends what is under way for the visitor, which says so itself: behind all that it has said before."""
        self.stops.begin(request)

    def save_csv(self, explanation: Explanation) -> str:
        """A file with every unit and what it adds."""
        return _save(explanation, write_csv, "longclip-words.csv")

    def save_json(self, explanation: Explanation) -> str:
        """A file with everything that is known of the explanation, maps included."""
        return _save(explanation, write_json, "longclip-words.json")

    def _find_problem(self, explanation: Explanation, edited: str) -> str:
        longest = self.context.longest_caption
        if not explanation.told:
            return "Explain a caption first: then an edit of it can be compared."
        if not explanation.complete:
            return "The caption has not been explained to the end: press Explain, then compare."
        if not edited.strip():
            return "Write the caption that is to be compared."
        if len(edited) > longest:
            return f"The caption has {len(edited):,} characters; at most {longest:,} are read here."
        return ""

    def _news(self, steps: Iterable[Step], requests: Requests, turn: tuple[str, int], stops: tuple[str, int]) -> Iterator[Step]:
        """Steps that show something new, until the visitor has stopped them or asked for something else."""
        return news(steps, lambda: requests.is_current(turn) and self.stops.is_current(stops))

    def _answering(self, order: Order, with_maps: bool) -> Iterator[Step]:
        """(progress, the explanation where there is something new of it)."""
        answers = {name: Answer(name, self._title(name)) for name in order.models}
        for step in (self._weigh, self._map) if with_maps else (self._weigh,):
            for name in order.models:
                try:
                    for text, share, answer in step(order, answers[name]) if not answers[name].problem else ():
                        if answer is not None:
                            answers[name] = answer
                        found = Explanation(order, tuple(answers.values())) if answer is not None else None
                        yield progress(text, share), found
                except Unavailable as error:
                    answers[name] = replace(answers[name], problem=str(error))
        yield "", Explanation(order, tuple(answers.values()), complete=True)

    def _weigh(self, order: Order, answer: Answer) -> Iterator[News]:
        """Loads the model and weighs the words."""
        name = answer.model
        for step in self.context.loading(name):
            yield step.text(f"Loading {answer.title}"), step.share, None
        encoder = self.context.encoder(name)
        answer = replace(answer, title=encoder.spec.title, identity=encoder.identity)
        piece = self.explaining.attribution(order, name)
        for step in self.explaining.doing(piece):
            yield step.text(f"{answer.title} weighs the {order.level}"), step.share, None
        found = self.explaining.result(piece)
        yield answer.title, 1.0, replace(answer, attribution=found, tokens=encoder.tokenize(order.pair.caption))

    def _map(self, order: Order, answer: Answer) -> Iterator[News]:
        """Covers the picture patch by patch; how a map changes when a word goes is then a product."""
        effects = self.explaining.attribution(order.of_words(), answer.model)
        covered = self.explaining.occlusion(order.pair, answer.model)
        for piece, what in ((effects, "leaves each word out"), (covered, "covers the picture patch by patch")):
            for step in self.explaining.doing(piece):
                yield step.text(f"{answer.title} {what}, for the maps"), step.share, None
        maps = self.explaining.result(covered).map(self.explaining.result(effects).effects.T)
        yield answer.title, 1.0, replace(answer, maps=maps.transpose(2, 0, 1))

    def _title(self, name: str) -> str:
        spec = self.context.spec(name)
        return spec.title if spec else name or "No model"


def last_words(stops: Requests, mark: tuple[str, int]) -> str:
    """What is said in the end: that the work was stopped, if it was since the mark."""
    return "" if stops.is_current(mark) else note("Stopped. What was done is kept: ask again to go on.")


def _nothing(count: int) -> list[Update]:
    return [gr.skip()] * count


def check_told(explanation: Explanation) -> None:
    """Raises gr.Error where there is nothing to save."""
    if not explanation.told:
        raise gr.Error("Press Explain first: there is nothing to save yet.", title="No results yet")


def _save(explanation: Explanation, write: Any, name: str) -> str:
    check_told(explanation)
    return save_bytes_to_cache(write(explanation).encode("utf-8", "replace"), name, get_upload_folder())
