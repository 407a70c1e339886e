"""What fills the form of the tab: the choice of the retrieval tab, examples, a picture of one's own, an edit to start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import gradio as gr

from demos.attribution.edits import change_colour
from demos.attribution.order import Pair
from demos.context import Context, Unavailable
from demos.examples import EVERY, EXAMPLES, Example, example_row, random_rows
from demos.pictures import picture_tag
from demos.pieces import note
from demos.selection import Selection
from demos.shares import visitor
from longclip.gallery import GalleryError

Update = Any


@dataclass(frozen=True)
class Desk:
    """Handlers that choose what is explained. The fields returned are the pair, its caption, and the picture as HTML."""

    context: Context

    def open(self, selection: Selection, carried: Pair | None, request: gr.Request | None = None) -> list[Update]:
        """What the visitor sees on opening the tab: the fields, what was carried over, and both models.

        That is the choice of another tab where it is a new one, or that of the page's address, or an example.
        """
        if selection == Selection() and request is not None:
            query = dict(request.query_params)
            selection = Selection.from_address(query, self.context.at_hand(query))
        wanted = self._wanted(selection)
        return [gr.skip()] * 6 if wanted == carried else [*self._fields(wanted), wanted, *selection.models]

    def select(self, selection: Selection, left: str, right: str) -> Selection:
        """The visitor's selection with this pair of models."""
        return selection.changed(left=(left or "").strip(), right=(right or "").strip())

    def carry(self, selection: Selection) -> list[Update]:
        """The picture and caption of the retrieval tab."""
        try:
            pair = self._captioned(Pair.of_selection(selection, self.context))
        except (Unavailable, GalleryError) as error:
            gr.Info(str(error), title="Nothing to take over")
            return [gr.skip()] * 3
        if pair.picture is None or not pair.caption.strip():
            gr.Info("Pick a picture and a caption in the retrieval tab first.", title="Nothing to take over yet")
            return [gr.skip()] * 3
        return self._fields(pair)

    def take_example(self, number: int) -> list[Update]:
        """The scene of an example button."""
        return self._fields(self._example(EXAMPLES[number]))

    def take_random(self) -> list[Update]:
        """Any scene."""
        book = self.context.picture_book()
        rows = random_rows(book, EVERY, 1) if len(book) else []
        return self._fields(Pair(book.captions[rows[0]], picture=book.ids[rows[0]]) if rows else Pair())

    def take_picture(
        self, file: str | None, pair: Pair, caption: str, request: gr.Request | None = None
    ) -> Iterator[list[Update]]:
        """A picture of the visitor's own, with the caption that stands there: the fields, and a report."""
        for _, _, gallery in self.context.reading_uploads([file] if file else []):
            if gallery is not None and len(gallery):
                own = Pair(caption or "", self.context.keep(gallery, visitor(request)), gallery.ids[0])
                yield [*self._fields(own), ""]
            elif gallery is not None:
                yield [gr.skip(), gr.skip(), gr.skip(), note(" ".join(gallery.skipped))]

    def change_colour(self, edited: str, caption: str) -> Update:
        """The caption, or its edit, with one colour changed."""
        changed = change_colour((edited or "").strip() or caption or "", Random())
        if changed is None:
            gr.Info("The caption names no colour: edit its words.", title="No colour to change")
            return gr.skip()
        return changed

    def _wanted(self, selection: Selection) -> Pair:
        try:
            pair = Pair.of_selection(selection, self.context)
            return self._example(EXAMPLES[0]) if pair.picture is None else self._captioned(pair)
        except (Unavailable, GalleryError):
            return self._example(EXAMPLES[0])

    def _captioned(self, pair: Pair) -> Pair:
        """With the picture's own caption where there is none. Raises GalleryError for a picture that is not there."""
        if pair.picture is None:
            return pair
        gallery = self.context.gallery(pair.gallery)
        row = gallery.index(pair.picture)
        return pair if pair.caption.strip() else replace(pair, caption=gallery.captions[row])

    def _example(self, example: Example) -> Pair:
        book = self.context.picture_book()
        if not len(book):
            return Pair()
        row = example_row(book, example)
        return Pair(book.short_captions[row] if example.short else book.captions[row], picture=book.ids[row])

    def _fields(self, pair: Pair) -> list[Update]:
        return [pair, pair.caption, self._panel(pair)]

    def _panel(self, pair: Pair) -> str:
        try:
            gallery = self.context.gallery(pair.gallery)
            shown = picture_tag(gallery, gallery.index(pair.picture or ""))
        except (Unavailable, GalleryError):
            return (
                '<div class="answer empty"><h3>The picture</h3><p class="hint">None yet: take an example or your own.</p></div>'
            )
        return f'<div class="answer"><h3>The picture</h3>{shown}</div>'
