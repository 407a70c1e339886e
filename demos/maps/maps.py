"""What the tab of maps shows: the maps as they are made, a point and its neighbours, what a lasso caught, what is placed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from demos.context import Context, Unavailable
from demos.maps import sheets
from demos.maps.atlas import Atlas, first_look, nearest, other_kind
from demos.maps.exports import write_maps
from demos.maps.placing import Placed, place
from demos.maps.points import draw_points, find_colourings
from demos.maps.view import View, is_captioned, point_name, split_point
from demos.pieces import note, progress
from demos.requests import Requests
from demos.trained import names_for_files
from longclip.gallery import Gallery
from longclip.projection import Map, Projector

METHODS = {"aligned-umap": "Aligned UMAP", "umap": "UMAP", "t-sne": "t-SNE", "pca": "PCA"}
# Neighbours that are shown of a point.
NEIGHBOURS = 12

Update = Any


# Seconds between two drawings: Gradio loses properties of a component that the next step follows too soon.
SETTLE = 0.5


class Maps:
    """Handlers. None raises on a visitor's input; what cannot be shown is said in a sentence.

    Those that draw yield the status, the maps, the figures, the points that changed most, and the button that stops.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.atlas = Atlas(context, Projector())
        self._turns = Requests()

    def sketch(self, view: View, request: gr.Request | None = None) -> Iterator[list[Update]]:
        """The maps by PCA at once (by the method that was asked for, if they are there already), then the figures."""
        turn = self._turns.begin(request)
        yield from self._while_current(turn, self._sketch(view))

    def finish(self, view: View, request: gr.Request | None = None) -> Iterator[list[Update]]:
        """The maps by the method that was asked for, where they were not there yet."""
        turn = self._turns.latest(request)
        yield from self._while_current(turn, self._finish(view))

    def redraw(self, view: View) -> Update:
        """The maps that are there, and what they can be coloured by, for a page that has missed them."""
        try:
            gallery, _ = self._there(view)
            return self._draw(view if self.atlas.ready(view) else first_look(view)) | {
                "colours": self._colourings(view, gallery)
            }
        except Unavailable:
            return gr.skip()

    def stop(self) -> list[Update]:
        """What stands once a visitor no longer waits: the maps that are there."""
        return [note("Stopped. The maps are those that were there already."), gr.update(visible=False)]

    def mark(self, view: View) -> list[Update]:
        """What is chosen or placed: the sheet about it, its neighbours by each model, and the marks on the maps."""
        if view.point is None and not view.caption.strip() and not view.upload:
            return ["", "", "", gr.update(marks={"address": view.address()})]
        try:
            gallery, maps = self._there(view)
            return self._mark_point(view, gallery, maps) if view.point is not None else self._mark_placed(view, gallery, maps)
        except Unavailable as error:
            return [note(str(error)), "", "", gr.skip()]

    def keep(self, view: View, points: Any, owner: str = "") -> tuple[str, str]:
        """Makes a gallery of what the lasso caught: its key, and what it holds as HTML. Raises Unavailable."""
        gallery, maps = self._there(view)
        wanted = points if isinstance(points, list) else []
        found = sorted({point for point in wanted if _is_point(point, len(maps[0].points))})
        if not found:
            raise Unavailable("The lasso caught no point.")
        rows = list(dict.fromkeys(split_point(gallery, point)[1] for point in found))
        return self.context.keep(gallery.select(rows), owner), sheets.gathered(gallery, found)

    def choose(self, view: View, point: Any) -> View:
        """The view with a point chosen; as it is for what is no point."""
        try:
            gallery = self.atlas.gallery(view)
        except Unavailable:
            return view
        total = len(gallery) * (1 + is_captioned(gallery))
        return view.changed(point=point, caption="", upload=None) if _is_point(point, total) else view

    def describe(self, asked: Any) -> str:
        """The card beside the point under the mouse, for [gallery key, point]; nothing for what is not there."""
        try:
            key, point = asked
            gallery = self.context.gallery(key)
        except (Unavailable, TypeError, ValueError, AttributeError):
            return ""
        total = len(gallery) * (1 + is_captioned(gallery))
        return sheets.hover_card(gallery, point) if _is_point(point, total) else ""

    def export(self, view: View, ending: str) -> str:
        """A file of the maps' points. Raises gr.Error where there are none."""
        try:
            gallery, maps = self._there(view)
        except Unavailable as error:
            raise gr.Error(str(error), title="No maps yet") from error
        names = names_for_files(view.models)
        points = {names[name]: drawn.points for name, drawn in zip(view.models, maps, strict=True)}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"longclip-maps.{ending}"
            write_maps(path, gallery, points, self.titles(view)[: len(points)], places=not self.context.public)
            return save_file_to_cache(path, get_upload_folder())

    def titles(self, view: View) -> list[str]:
        """The models' names for people."""
        specs = [self.context.spec(name) for name in view.models]
        return [spec.title if spec else name for spec, name in zip(specs, view.models, strict=True)]

    def _while_current(self, turn: tuple[str, int], steps: Iterator[list[Update]]) -> Iterator[list[Update]]:
        # Gradio empties the outputs of a generator that ends without having yielded.
        yield [gr.skip()] * 5
        try:
            for step in steps:
                if not self._turns.is_current(turn):
                    return
                yield step
        except Unavailable as error:
            yield _step(note(str(error)))

    def _sketch(self, view: View) -> Iterator[list[Update]]:
        if problem := self._problem(view):
            yield _step(note(problem))
            return
        for status in self._prepare(view):
            yield _step(status, busy=True)
        gallery = self.atlas.gallery(view)
        shown = view if self.atlas.ready(view) else first_look(view)
        drawing = self._draw(shown)
        yield _step(_lacking(gallery), drawing, busy=True)
        time.sleep(SETTLE)
        for step in self.atlas.comparing(view):
            yield _step(progress(step.text("Comparing both models' neighbourhoods"), step.share), busy=True)
        overlap = self.atlas.overlap(view)
        # All at once, for Gradio loses properties of a component that the next step follows too soon.
        drawing |= {"colours": self._colourings(view, gallery)}
        yield _step(_lacking(gallery), drawing, self._figures(shown, gallery, overlap), sheets.changed(gallery, overlap))
        time.sleep(SETTLE)

    def _finish(self, view: View) -> Iterator[list[Update]]:
        if self._problem(view) or self.atlas.ready(view):
            return
        method = METHODS[view.settings.method]
        for step in self.atlas.mapping(view):
            doing = step.text(f"{method} is being made, behind this map by PCA")
            yield _step(progress(doing, step.share), busy=True)
        self.atlas.maps(view)
        gallery = self.atlas.gallery(view)
        yield _step(_lacking(gallery), self._draw(view), self._figures(view, gallery, self.atlas.overlap(view)))

    def _prepare(self, view: View) -> Iterator[str]:
        """Loads both models and has them read the gallery: yields what is being done."""
        kinds = ("pictures", "captions")[: 1 + is_captioned(self.atlas.gallery(view))]
        for name, title in dict(zip(view.models, self.titles(view), strict=True)).items():
            for step in self.context.loading(name):
                yield progress(step.text(f"Loading {title}"), step.share)
            self.context.encoder(name)
            for what in kinds:
                for step in self.context.embedding(what, view.gallery, name):
                    yield progress(step.text(f"Reading all {what} with {title}"), step.share)

    def _draw(self, view: View) -> Update:
        data = draw_points(view.gallery, self.atlas.gallery(view), self.atlas.maps(view), self.titles(view))
        return gr.update(value=data | {"method": METHODS[view.settings.method]})

    def _colourings(self, view: View, gallery: Gallery) -> Any:
        counts = self.atlas.counts(view) if is_captioned(gallery) else None
        return find_colourings(gallery, self.atlas.overlap(view), counts)

    def _figures(self, view: View, gallery: Gallery, overlap: np.ndarray | None) -> str:
        titles, maps = self.titles(view), [drawn.points for drawn in self.atlas.maps(view)]
        found = sheets.figures(titles, self.atlas.companions(view), overlap, len(gallery))
        return found + sheets.points_table(gallery, titles, maps)

    def _there(self, view: View) -> tuple[Gallery, list[Map]]:
        """The gallery and the maps that the visitor sees: by PCA while the others are not there. Raises Unavailable."""
        if problem := self._problem(view):
            raise Unavailable(problem)
        return self.atlas.gallery(view), self.atlas.maps(view if self.atlas.ready(view) else first_look(view))

    def _mark_point(self, view: View, gallery: Gallery, maps: list[Map]) -> list[Update]:
        point = view.point
        if not _is_point(point, len(maps[0].points)):
            return ["", "", "", gr.update(marks={"address": view.address()})]
        overlap, caption = self.atlas.overlap(view), split_point(gallery, point)[0]
        queries = [drawn.vectors[point] for drawn in maps]
        columns, near = self._neighbours(gallery, view, maps, queries, other_kind(view, caption), point)
        shown = sheets.chosen(gallery, point, None if overlap is None else float(overlap[point]))
        marks = {"chosen": point, "near": near, "address": view.address(point_name(gallery, point))}
        return [shown, *columns, gr.update(marks=marks)]

    def _mark_placed(self, view: View, gallery: Gallery, maps: list[Map]) -> list[Update]:
        placed = place(self.context, view, maps)
        # Of a text the pictures, of a picture the captions.
        queries = list(placed[0].vectors)
        columns, near = self._neighbours(gallery, view, maps, queries, captions=not view.caption.strip())
        pins = [[_pin(part, side) for part in placed] for side in range(len(maps))]
        return [
            sheets.placed(view.caption, placed),
            *columns,
            gr.update(marks={"near": near, "pins": pins, "address": view.address()}),
        ]

    def _neighbours(
        self,
        gallery: Gallery,
        view: View,
        maps: list[Map],
        queries: list[np.ndarray],
        captions: bool,
        but: int | None = None,
    ) -> tuple[list[str], list[list[int]]]:
        """A column of cards by each model, and the points in it."""
        captions = captions and is_captioned(gallery)
        count, titles, columns = len(gallery), self.titles(view), []
        pairs = list(zip(maps, queries, strict=True))
        found = [nearest(drawn.vectors, count, query, captions, NEIGHBOURS, but) for drawn, query in pairs]
        for side, own in enumerate(found):
            columns.append(sheets.neighbours(gallery, titles[side], own, found[1 - side].points, titles[1 - side]))
        return columns, [own.points.tolist() for own in found]

    def _problem(self, view: View) -> str | None:
        longest = self.context.longest_caption
        if len(view.caption) > longest:
            return f"The caption has {len(view.caption):,} characters; at most {longest:,} are read here."
        if not view.gallery:
            return "Add some pictures of your own first."
        if not len(self.atlas.gallery(view)):
            return "There is no picture in this gallery."
        return None


def _step(
    status: str, drawing: Update = None, figures: str | None = None, changed: str | None = None, busy: bool = False
) -> list[Update]:
    """Values of what a drawing shows; None leaves a component as it is."""
    parts = [gr.skip() if part is None else part for part in (drawing, figures, changed)]
    return [status, *parts, gr.update(visible=busy)]


def _is_point(point: Any, total: int) -> bool:
    return isinstance(point, int) and not isinstance(point, bool) and 0 <= point < total


def _pin(part: Placed, side: int) -> dict[str, Any]:
    x, y = map(float, part.points[side])
    return {"label": part.label, "x": x, "y": y}


def _lacking(gallery: Gallery) -> str:
    """What is not on the maps, as a sentence."""
    lacking = sum(not caption for caption in gallery.captions)
    if 0 < lacking < len(gallery):
        return note(f"{lacking:,} of {len(gallery):,} pictures have no caption: the maps show pictures only.")
    return ""
