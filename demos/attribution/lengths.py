"""How far each model reads: draws the curves of the caption, or those averaged over the gallery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from demos.attribution.answer import Answer, Explanation
from demos.attribution.curves import NOUNS, POSITION, RANK, SCORE, Drawing, draw_caption, draw_gallery, draw_positions
from demos.attribution.explaining import CHANGES, CURVES, Explaining, Piece
from demos.attribution.explanations import last_words
from demos.attribution.figures import curve_figure
from demos.context import Context, Unavailable
from demos.pieces import note, progress
from demos.requests import Requests
from demos.selection import PICTURE_BOOK

CAPTION, GALLERY = "caption", "gallery"
PLOTS = {SCORE: "Score", RANK: "Rank", POSITION: "By position"}
ABOUT = {
    SCORE: "The caption is cut after each of its words: how well does what is left match the picture?",
    RANK: "The caption is cut after each of its words: where does its picture rank among all?",
    POSITION: "Each token is masked in turn: by how much does the score change, up or down?",
}

Update = Any


@dataclass
class Lengths:
    """Handlers that draw. What is shown is (progress or a sentence, what it is, plot, table, drawing, stop button)."""

    context: Context
    explaining: Explaining
    stops: Requests
    _turns: Requests = field(default_factory=Requests)

    def draw(
        self, explanation: Explanation, what: str, by: str, over: str, request: gr.Request | None = None
    ) -> Iterator[list[Update]]:
        """The plot that is chosen, of the models that have answered."""
        turn, stops = self._turns.begin(request), self.stops.latest(request)
        answers = [answer for answer, _ in explanation.told]
        if not answers:
            yield self._shown("", what, over, Drawing())
            return
        ranked = what == RANK and len(self._pictures(explanation, over)) > 1
        if what == RANK and not ranked:
            yield self._shown(note("A rank needs a gallery: this picture stands alone. Pick a scene."), what, over, Drawing())
            return
        results: list[tuple[Answer, Any]] = []
        shown = ""
        try:
            for answer in answers:
                piece = self._piece(explanation, answer.model, what, over, ranked)
                for step in self.explaining.doing(piece):
                    if not self._turns.is_current(turn):
                        return
                    if not self.stops.is_current(stops):
                        yield [last_words(self.stops, stops), *[gr.skip()] * 4, gr.update(visible=False)]
                        return
                    text = f"{answer.title} reads {'captions of the gallery' if over == GALLERY else 'the caption bit by bit'}"
                    status = progress(step.text(text), step.share)
                    if status != shown:
                        yield [status, gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.update(visible=True)]
                    shown = status
                results.append((answer, self.explaining.result(piece)))
        except Unavailable as error:
            yield self._shown(note(str(error)), what, over, Drawing())
            return
        if self._turns.is_current(turn):
            yield self._shown("", what, over, self._drawing(explanation, results, what, by, over))

    def follow(
        self, explanation: Explanation, what: str, by: str, over: str, request: gr.Request | None = None
    ) -> Iterator[list[Update]]:
        """The same behind an explanation; none behind one that was stopped: what stands there may be another caption's."""
        whole = explanation if explanation.complete else Explanation()
        yield from self.draw(whole, what, by, over, request)

    def save_csv(self, drawing: Drawing) -> str:
        """A file with the numbers of the plot."""
        check_drawn(drawing)
        return save_bytes_to_cache(drawing.write_csv().encode("utf-8", "replace"), "longclip-curve.csv", get_upload_folder())

    def _piece(self, explanation: Explanation, model: str, what: str, over: str, ranked: bool) -> Piece:
        pair, work = explanation.order.pair, self.explaining
        if over == GALLERY:
            return (work.gallery_changes if what == POSITION else work.gallery_curves)(PICTURE_BOOK, model)
        return work.changes(pair, model) if what == POSITION else work.curve(pair, model, ranked)

    def _drawing(self, explanation: Explanation, results: list[tuple[Answer, Any]], what: str, by: str, over: str) -> Drawing:
        drawn = self._plain_drawing(explanation, results, what, by, over)
        lines = zip(drawn.lines, results, strict=True)
        return replace(drawn, lines=tuple(replace(line, side=explanation.side(answer)) for line, (answer, _) in lines))

    def _plain_drawing(
        self, explanation: Explanation, results: list[tuple[Answer, Any]], what: str, by: str, over: str
    ) -> Drawing:
        named = [(answer.title, found) for answer, found in results]
        if what == POSITION:
            return draw_positions([(title, found if over == GALLERY else [found]) for title, found in named])
        pictures = len(self._pictures(explanation, over))
        if over == GALLERY:
            return draw_gallery(named, what, by, pictures)
        counted = [(answer.title, found, answer.tokens.total if answer.tokens else 0) for answer, found in results]
        return draw_caption(counted, what, by, pictures)

    def _pictures(self, explanation: Explanation, over: str) -> list[str]:
        """The ids of the pictures that ranks are taken among."""
        return self._ids(PICTURE_BOOK if over == GALLERY else explanation.order.pair.gallery)

    def _ids(self, gallery: str) -> list[str]:
        """The ids of a gallery; none where it is gone."""
        try:
            return self.context.gallery(gallery).ids
        except Unavailable:
            return []

    def _shown(self, status: str, what: str, over: str, drawing: Drawing) -> list[Update]:
        about = ABOUT[what]
        if over == GALLERY:
            count = min(CHANGES if what == POSITION else CURVES, len(self._ids(PICTURE_BOOK)))
            mean = "geometric mean" if what == RANK else "mean"
            about += f" The {mean} over {count} scenes of the picture book, with its 95 % band."
        elif drawing.x == NOUNS["tokens"]:
            about += " Start and end count as tokens."
        plot = gr.update(value=curve_figure(drawing) if drawing.lines else None, visible=bool(drawing.lines))
        return [status, f'<p class="hint">{about}</p>', plot, drawing.write_html(), drawing, gr.update(visible=False)]


def check_drawn(drawing: Drawing) -> None:
    """Raises gr.Error where there is no plot to save."""
    if not drawing.lines:
        raise gr.Error("Explain a caption first: there is no plot to save yet.", title="No plot yet")
