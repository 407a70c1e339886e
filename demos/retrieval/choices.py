"""What fills the form of the retrieval tab: links, examples, cards that are clicked, files that are added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demos.context import Context, Unavailable
from demos.examples import EVERY, EXAMPLES, KINDS, example_row, random_rows
from demos.pieces import model_terms, note
from demos.retrieval import panels
from demos.retrieval.cards import grid
from demos.retrieval.query import MINE, settle
from demos.retrieval.sums import like
from demos.selection import BY_SUM, PICTURE_BOOK, TO_CAPTIONS, TO_PICTURES, Selection
from demos.shares import visitor
from demos.uploads import MOST, MOST_PUBLIC
from longclip.gallery import Gallery, GalleryError

BROWSED = 24


@dataclass(frozen=True)
class Choices:
    """Handlers that choose what is searched.

    A `form` is (selection, caption, left model, right model, search, gallery choice); the fields returned are the selection
    and new values for the caption, the search, the gallery choice and the file that is searched with. None raises on a
    visitor's input.
    """

    context: Context

    def open_link(self, request: gr.Request) -> list[Any]:
        """Fields, models and their terms for the selection that the page's address names, or for the first example."""
        query = dict(request.query_params)
        selection = Selection.from_address(query, self.context.at_hand(query))
        book = self.context.picture_book()
        if len(book):
            known = selection.picture in book.ids
            row = book.index(selection.picture) if known else example_row(book, EXAMPLES[0])
            if known or not selection.caption:
                selection = selection.changed(picture=book.ids[row], caption=selection.caption or book.captions[row])
        sides = zip(("left", "right"), selection.models, strict=True)
        terms = (self._not_fetched(query.get(side, ""), name) + model_terms(self.context, name) for side, name in sides)
        return [*_fields(selection), *selection.models, *terms]

    def _not_fetched(self, linked: str, shown: str) -> str:
        """A sentence where a link names a model that would have to be fetched, for which it takes a click."""
        spec = self.context.spec(linked) if linked != shown else None
        if spec is None or spec.source != "hub":
            return ""
        sentence = f"The link names {linked}, which is not here yet: choose it above to fetch it (licence: {spec.licence})."
        return note(sentence)

    def pick_example(self, number: int, *form: Any) -> list[Any]:
        """Takes the scene of an example button."""
        example, book = EXAMPLES[number], self.context.picture_book()
        row = example_row(book, example) if len(book) else None
        return self._take(settle(self.context, *form), book, row, example.short)

    def pick_random(self, *form: Any) -> list[Any]:
        """Takes any scene."""
        book = self.context.picture_book()
        row = random_rows(book, EVERY, 1)[0] if len(book) else None
        return self._take(settle(self.context, *form), book, row)

    def pick(
        self, selection: Selection, caption: str, left: str, right: str, search: str, choice: str, event: gr.EventData
    ) -> list[Any]:
        """Takes the scene of a card as the query; among the visitor's own pictures, marks it as the right one."""
        selection = settle(self.context, selection, caption, left, right, search, choice)
        try:
            gallery = self.context.gallery(selection.gallery)
            row = gallery.index(str(event.pick))
        except (Unavailable, GalleryError, AttributeError):
            return _fields(selection)
        if selection.gallery != PICTURE_BOOK:
            return _fields(selection.changed(picture=gallery.ids[row]))
        return self._take(selection, gallery, row)

    def pick_like(self, selection: Selection, event: gr.EventData) -> list[Any]:
        """Takes a card's picture as the query for more like it."""
        name = str(event._data.get("pick"))
        return _fields(selection.changed(search=BY_SUM, caption=like(name), picture=None))

    def carry(self, selection: Selection, event: gr.EventData) -> list[Any]:
        """The selection with a card's picture and its caption, and the tab to open."""
        try:
            gallery = self.context.gallery(selection.gallery)
            row = gallery.index(str(event._data.get("pick")))
        except (Unavailable, GalleryError):
            return [selection, ""]
        caption = gallery.captions[row] or selection.caption
        door = str(event._data.get("door"))
        return [selection.changed(picture=gallery.ids[row], caption=caption, search=TO_PICTURES, sent=door), door]

    def arrive(self, selection: Selection, choice: str, times: int) -> list[Any]:
        """The form as the tab is opened, and one time more where another tab has brought a gallery to be searched."""
        if choice == MINE or not selection.own or selection.gallery != selection.own:
            return [*_skipped(), times]
        return [*_fields(selection.changed(search=TO_PICTURES)), times + 1]

    def take_folder(self, folder: str | None, selection: Selection) -> list[Any]:
        """Opens a gallery in a folder of this machine as the visitor's own: the selection, and a report."""
        if not (folder or "").strip():
            return [selection, ""]
        try:
            key = self.context.open_stored(folder.strip())
            return [selection.changed(own=key, picture=None), panels.upload_report(self.context.gallery(key))]
        except Unavailable as error:
            return [selection, note(str(error))]

    def forget_picture(self, selection: Selection) -> list[Any]:
        """Forgets the right answer; in the picture book also the caption, by which it would be known again."""
        own = selection.gallery != PICTURE_BOOK
        return _fields(selection.changed(picture=None, caption=selection.caption if own else ""))

    def take_picture(self, file: str | None, selection: Selection, request: gr.Request | None = None) -> Iterator[list[Any]]:
        """Searches with a picture of the visitor's own (no file, or one that is refused: with the scene again).

        The selection, a report, and what stays of the file.
        """
        if not file:
            yield [selection.changed(upload=None), "", gr.skip()]
            return
        for _, _, gallery in self.context.reading_uploads([file]):
            if gallery is not None and len(gallery):
                yield [selection.changed(upload=self.context.keep(gallery, visitor(request))), "", gr.skip()]
            elif gallery is not None:
                yield [selection.changed(upload=None), note(" ".join(gallery.skipped)), None]

    def take_gallery(
        self, files: list[str] | None, selection: Selection, request: gr.Request | None = None
    ) -> Iterator[list[Any]]:
        """Makes a gallery of the visitor's own pictures (no files: none): the selection, and a report."""
        if not files:
            yield [selection.changed(own=None), ""]
            return
        for done, total, gallery in self.context.reading_uploads(files, MOST_PUBLIC if self.context.public else MOST):
            if gallery is None:
                yield [selection, f'<p class="report" role="status">Reading {done:,} of {total:,} …</p>']
            else:
                own = self.context.keep(gallery, visitor(request)) if len(gallery) else None
                yield [selection.changed(own=own, picture=None), panels.upload_report(gallery)]

    def browse(self, kind: str) -> str:
        """Scenes to pick from."""
        book = self.context.picture_book()
        return grid(book, random_rows(book, kind if kind in KINDS else EVERY, BROWSED)) if len(book) else ""

    def _take(self, selection: Selection, book: Gallery, row: int | None, short: bool = False) -> list[Any]:
        if row is None:
            return _fields(selection)
        caption = book.short_captions[row] if short else book.captions[row]
        return _fields(selection.changed(gallery=PICTURE_BOOK, picture=book.ids[row], caption=caption, upload=None))


def show_inputs(public: bool, search: str, choice: str) -> list[Any]:
    """Which inputs belong to a kind of search: the choice of gallery, a picture as query, the visitor's own, the scenes."""
    to_pictures = search != TO_CAPTIONS
    own = choice == MINE and to_pictures
    return [gr.update(visible=shown) for shown in (to_pictures, search != TO_PICTURES, own, not own, own and not public)]


def _skipped() -> list[Any]:
    return [gr.skip()] * 5


def _fields(selection: Selection) -> list[Any]:
    choice = PICTURE_BOOK if selection.gallery == PICTURE_BOOK or selection.search == TO_CAPTIONS else MINE
    return [selection, selection.caption, selection.search, choice, gr.skip() if selection.upload else None]
