"""What the retrieval tab shows of a search: rankings, texts as the models read them, the curve, a table to save."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from demos.context import Context, Unavailable
from demos.doors import Doors
from demos.pieces import note
from demos.requests import Requests
from demos.retrieval import panels
from demos.retrieval.cards import Results, is_waiting, notice, ranked_cards, waiting
from demos.retrieval.figures import rank_figure, rank_table
from demos.retrieval.query import find_problem, settle
from demos.retrieval.ranking import Point, Ranking, look_alikes, rank_by_sentences, rank_gallery, right_row, write_csv
from demos.retrieval.reading import reading
from demos.retrieval.sums import has_own_picture
from demos.selection import BY_SUM, PICTURE_BOOK, TO_CAPTIONS, TO_PICTURES, Selection
from longclip.registry import ModelSpec

TAB = "retrieval"

Update = Any


@dataclass
class Searches:
    """Handlers that search. Each takes plain values and returns what its outputs show; none raises on a visitor's input."""

    context: Context
    doors: Doors | None = None
    _turns: Requests = field(default_factory=Requests)

    def search(
        self,
        selection: Selection,
        caption: str,
        left: str,
        right: str,
        search: str,
        choice: str,
        request: gr.Request | None = None,
    ) -> Iterator[list[Update]]:
        """Ranks the gallery with both models: yields while a model is on its way, and in the end once for both."""
        selection = settle(self.context, selection, caption, left, right, search, choice)
        turn = self._turns.begin(request)
        if problem := find_problem(self.context, selection):
            yield self._found(selection, note(problem), ["", ""])
            return
        pending: dict[int, Iterator[str]] = {side: self._prepare(selection, name) for side, name in enumerate(selection.models)}
        answers: list[Ranking | str] = ["", ""]
        try:
            while pending and self._turns.is_current(turn):
                before = list(answers)
                for side in list(pending):
                    try:
                        answers[side] = next(pending[side])
                    except StopIteration:
                        del pending[side]
                        answers[side] = self._answer(selection, selection.models[side])
                if pending and answers != before:
                    yield self._found(selection, "", self._columns(selection, answers), busy=True)
        finally:
            for preparation in pending.values():
                preparation.close()
        if self._turns.is_current(turn):
            # Of pictures of one's own it was said when they were added.
            book = selection.gallery == PICTURE_BOOK
            lacking = panels.left_out_report(self.context.gallery(PICTURE_BOOK)) if book else ""
            yield self._found(selection, lacking, self._columns(selection, answers))

    def stop(self, left: str, right: str) -> list[Update]:
        """What stands in the columns once a visitor no longer waits, and no more button to stop."""
        stopped = (
            notice("Stopped. What was done is kept: search again to go on.") if is_waiting(c) else c for c in (left, right)
        )
        return [*stopped, gr.update(visible=False)]

    def draw_curve(self, selection: Selection) -> list[Update]:
        """The rank of the right answer against the sentences kept: a line in place of the plot where there is none, the plot,
        and its numbers."""
        curves = []
        for name in selection.models:
            spec = self._spec(name)
            curves.append((spec.title, spec.context_length, self._points(selection, name)))
        if not any(points for _, _, points in curves):
            hint = "Drawn as soon as a caption and its right answer are known: pick a scene, or click one of your pictures."
            return [f'<p class="hint">{hint}</p>', gr.update(value=None, visible=False), ""]
        what = "caption" if selection.search == TO_CAPTIONS else "picture"
        figure = rank_figure(curves, len(self.context.gallery(selection.gallery)), what)
        return ["", gr.update(value=figure, visible=True), rank_table(curves)]

    def read_caption(self, caption: str, left: str | None, right: str | None, search: str = TO_PICTURES) -> list[str]:
        """What each model reads of the text; of a sum, which is no text of its own, nothing."""
        text = "" if search == BY_SUM else caption
        return [self._reading((name or "").strip(), text) for name in (left, right)]

    def save_csv(self, selection: Selection) -> str:
        """A file with both models' ranks and scores of the whole gallery."""
        if problem := find_problem(self.context, selection):
            raise gr.Error(problem, title="No results yet")
        ready = [name for name in selection.models if self.context.ready(name)]
        answers = [self._answer(selection, name) for name in dict.fromkeys(ready)]
        rankings = [answer for answer in answers if isinstance(answer, Ranking)]
        if not rankings:
            raise gr.Error("Neither model is loaded: search first.", title="No results yet")
        text = write_csv(self.context.gallery(selection.gallery), rankings, right_row(self.context, selection))
        return save_bytes_to_cache(text.encode("utf-8", "replace"), "longclip-results.csv", get_upload_folder())

    def rank_pictures(self, caption: str, model: str = "picturebook-longclip", top: int = 10) -> list[dict[str, Any]]:
        """Ranks the pictures of the picture book by a caption.

        Parameters:
            caption: the text to search with, of any length
            model: a model of the page, such as picturebook-clip or picturebook-longclip
            top: how many pictures to return, the best first
        Returns:
            for each picture its id, rank (from 1; pictures that score the same all have the worst of the places they share),
            cosine, caption, and whether the caption is exactly its own
        """
        if not isinstance(caption, str) or not isinstance(model, str):
            raise gr.Error("The caption and the model must be texts.")
        if isinstance(top, bool) or not isinstance(top, int):
            raise gr.Error("The number of pictures to return must be a whole number.")
        selection = settle(self.context, Selection(), caption, model, model, TO_PICTURES, PICTURE_BOOK)
        if problem := find_problem(self.context, selection):
            raise gr.Error(problem)
        try:
            ranking, book = rank_gallery(self.context, selection, model), self.context.picture_book()
        except Unavailable as error:
            raise gr.Error(str(error)) from error
        return [
            {
                "id": book.ids[row],
                "rank": int(ranking.ranks[row]),
                "cosine": round(float(ranking.scores[row]), 6),
                "caption": book.captions[row],
                "right": book.ids[row] == selection.picture,
            }
            for row in ranking.order[: max(1, top)]
        ]

    def _prepare(self, selection: Selection, name: str) -> Iterator[str]:
        """Loads a model and what it needs to search; yields HTML about how far that is, nothing when all is there."""
        spec = self._spec(name)
        title, verb = spec.title, "Fetching" if spec.source == "hub" else "Loading"
        for step in self.context.loading(name):
            yield waiting(title, step, verb)
        if not self.context.ready(name):
            return
        what = "captions" if selection.search == TO_CAPTIONS else "pictures"
        for step in self.context.embedding(what, selection.gallery, name):
            yield waiting(title, step, f"Reading all {what} with")
        with_own = selection.search == BY_SUM and has_own_picture(self.context, selection)
        queries = [selection.upload or selection.gallery] if what == "captions" or with_own else []
        for query in queries:
            for step in self.context.embedding("pictures", query, name):
                yield waiting(title, step, "Reading the picture with")

    def _answer(self, selection: Selection, name: str) -> Ranking | str:
        """A model's ranking, or the sentence that says why there is none."""
        try:
            return rank_gallery(self.context, selection, name)
        except Unavailable as error:
            return notice(str(error))

    def _points(self, selection: Selection, name: str) -> list[Point]:
        """A model's curve; empty where the model is not there or nothing was searched."""
        if not self.context.ready(name) or find_problem(self.context, selection):
            return []
        try:
            return rank_by_sentences(self.context, selection, name)
        except Unavailable:
            return []

    def _columns(self, selection: Selection, answers: list[Ranking | str]) -> list[str]:
        gallery, right = self.context.gallery(selection.gallery), right_row(self.context, selection)
        ways = self.doors.hits() if self.doors else ()
        results = Results(gallery, selection.search, right, look_alikes(gallery, right), ways)
        titles = [self._spec(name).title for name in selection.models]
        columns = []
        for answer, other, title in zip(answers, reversed(answers), reversed(titles), strict=True):
            if isinstance(answer, str):
                columns.append(answer)
            else:
                columns.append(ranked_cards(results, answer, other if isinstance(other, Ranking) else None, title))
        return columns

    def _found(self, selection: Selection, note: str, columns: list[str], busy: bool = False) -> list[Update]:
        """Values of the outputs of a search."""
        readings = self.read_caption(selection.caption, *selection.models, selection.search)
        return [selection, self._answer_panel(selection), note, *readings, *columns, gr.update(visible=busy)]

    def _answer_panel(self, selection: Selection) -> str:
        try:
            if selection.search == TO_CAPTIONS and selection.upload:
                gallery, row = self.context.gallery(selection.upload), 0
            else:
                gallery, row = self.context.gallery(selection.gallery), right_row(self.context, selection)
        except Unavailable:
            gallery, row = self.context.picture_book(), None
        own = gallery.captions[row] if row is not None else None
        return panels.answer_panel(selection, gallery, row, selection.address(TAB, own))

    def _reading(self, name: str, caption: str) -> str:
        tokenizer, text = self.context.tokenizer(name), caption or ""
        if tokenizer is None or len(text) > self.context.longest_caption:
            return reading(self._spec(name), text, None)
        return reading(self._spec(name), text, tokenizer(text), tokenizer.known(text) if tokenizer.words else ())

    def _spec(self, name: str) -> ModelSpec:
        """What is known of a model: once it is loaded, also what its files say."""
        if self.context.ready(name):
            return self.context.encoder(name).spec
        return self.context.spec(name) or ModelSpec(name, name, "", None, "", "local")
