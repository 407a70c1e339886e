"""From a visitor's form, links and gestures to what the maps show. No handler raises on a visitor's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demos.context import Context, Unavailable
from demos.maps.maps import Maps
from demos.maps.view import View, find_point, settings_of
from demos.pieces import note
from demos.retrieval.query import MINE
from demos.selection import PICTURE_BOOK, Selection
from demos.shares import visitor


@dataclass(frozen=True)
class Desk:
    """A `form` is (left model, right model, gallery choice, method, metric, neighbours, seed)."""

    context: Context
    maps: Maps

    def open_link(self, request: gr.Request) -> list[Any]:
        """The view that the page's address names, its form, its caption, and whose neighbours are shown."""
        query = dict(request.query_params)
        view = View.from_address(query, self.context.at_hand(query))
        view = view.changed(point=find_point(self.context.picture_book(), query.get("point", "")))
        return [view, *_form(view), view.caption, view.among]

    def arrive(self, selection: Selection, view: View, seen: Selection | None) -> list[Any]:
        """The view as the tab is opened: with the models and the picture that the visitor chose elsewhere since."""
        if selection != seen:
            view = view.changed(left=selection.left, right=selection.right)
            linked = seen is None and (view.point is not None or view.caption)
            if selection.picture and not linked and selection.gallery in (view.gallery, PICTURE_BOOK):
                view = self._at_picture(view, selection)
        return [view, selection, *_form(view)]

    def settle(self, selection: Selection, view: View, *form: Any) -> list[Any]:
        """The view and the selection with what the form says."""
        left, right, choice, *settings = form
        left, right = ((name or "").strip() for name in (left, right))
        gallery = (selection.own or "") if choice == MINE else PICTURE_BOOK
        point = view.point if gallery == view.gallery else None
        view = view.changed(left=left, right=right, gallery=gallery, settings=settings_of(*settings), point=point)
        return [view, selection.changed(left=left, right=right)]

    def show_own(self, choice: str) -> Any:
        """Shows where one's own pictures are added."""
        return gr.update(visible=choice == MINE)

    def pick(self, view: View, event: gr.EventData) -> list[Any]:
        """A point that is clicked takes the place of what was placed."""
        return [self.maps.choose(view, event._data.get("point")), "", None]

    def place(self, view: View, caption: str | None, file: str | None, request: gr.Request | None = None) -> list[Any]:
        """A caption and a picture of the visitor's take the place of the chosen point: the view, and a report."""
        upload, skipped = None, ""
        for _, _, gallery in self.context.reading_uploads([file]) if file else ():
            if gallery is not None and len(gallery):
                upload = self.context.keep(gallery, visitor(request))
            elif gallery is not None:
                skipped = " ".join(gallery.skipped)
        if not upload and not (caption or "").strip():
            return [view, note(skipped or "Write a caption or add a picture first.")]
        return [view.changed(point=None, caption=caption or "", upload=upload), note(skipped)]

    def take_away(self, view: View) -> list[Any]:
        """Nothing is placed any more."""
        return [view.changed(caption="", upload=None), "", None]

    def gather(self, view: View, event: gr.EventData, request: gr.Request | None = None) -> list[Any]:
        """What a lasso caught: its key as a gallery, its cards, whether they are shown, and a report."""
        try:
            key, cards = self.maps.keep(view, event._data.get("points"), visitor(request))
        except Unavailable as error:
            return [None, "", gr.update(visible=False), note(str(error))]
        return [key, cards, gr.update(visible=True), ""]

    def map_caught(self, view: View, selection: Selection, caught: str | None) -> list[Any]:
        """Maps what the lasso caught: the view, the selection, and the choice of gallery."""
        if not caught:
            return [view, selection, gr.skip()]
        return [view.changed(gallery=caught, point=None), selection.changed(own=caught), MINE]

    def search_caught(self, selection: Selection, caught: str | None) -> Selection:
        """The selection with what the lasso caught as the visitor's own gallery."""
        return selection.changed(own=caught, gallery=caught, picture=None) if caught else selection

    def _at_picture(self, view: View, selection: Selection) -> View:
        gallery = view.gallery if view.gallery == selection.gallery else PICTURE_BOOK
        try:
            point = find_point(self.context.gallery(gallery), f"picture:{selection.picture}")
        except Unavailable:
            return view
        return view.changed(gallery=gallery, point=point, caption="", upload=None)


def _form(view: View) -> list[Any]:
    settings = view.settings
    choice = PICTURE_BOOK if view.gallery == PICTURE_BOOK else MINE
    return [*view.models, choice, settings.method, settings.metric, settings.neighbours, settings.seed]
