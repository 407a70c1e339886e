"""The tab *Embedding maps*: how two models arrange the same pictures and captions, side by side."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from demos.context import Context
from demos.doors import RETRIEVAL, Doors
from demos.events import MAPS, PLACE, SAVE, UPLOAD, private
from demos.maps.component import linked_maps, plotly_file
from demos.maps.desk import Desk
from demos.maps.exports import FORMS
from demos.maps.maps import METHODS, Maps
from demos.maps.sheets import KEY
from demos.maps.view import OTHER, SAME, View
from demos.pickers import folder_box, model_picker
from demos.retrieval.choices import Choices
from demos.retrieval.query import MINE
from demos.saving import save_on_click
from demos.selection import PICTURE_BOOK
from demos.uploads import UPLOADED
from longclip.projection import METRICS

NAME, TITLE = "maps", "Embedding maps"

HEADING = (
    "<h2>The same pictures and captions, as each model arranges them</h2>"
    "<p>Every point is a picture or a caption of the gallery; what a model holds to be alike lies together. The map of the "
    "second model is turned to lie like the first.</p>"
)
CHANGED = (
    "<p>Points whose nearest neighbours the two models agree on least, in the full spaces. Click one to see both sides.</p>"
)
PLACING = (
    "<h2>Place something of your own</h2><p>A long caption is placed whole and cut, with a line between: how far does what "
    "CLIP cannot read carry it?</p>"
)
# A card is a point to click on the maps.
POINTS = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('[data-point]');
  if (card) trigger('pick', { point: Number(card.dataset.point) });
});
"""
TO_POINT = """() => {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  document.getElementById('maps').scrollIntoView({ behavior: calm ? 'auto' : 'smooth', block: 'start' });
}"""


def build(context: Context, page: gr.Blocks, selection: gr.State) -> None:
    """Adds the tab's components to the block that is open, and its events to the page."""
    gr.set_static_paths([plotly_file()])
    fresh, maps = View(), Maps(context)
    desk = Desk(context, maps)
    view, caught, seen = gr.State(fresh, time_to_live=3600), gr.State(None, time_to_live=3600), gr.State(None)
    with gr.Column(elem_classes="sheet", elem_id="maps-order") as order:
        gr.HTML(HEADING)
        with gr.Row(elem_classes="sides"):
            pickers = []
            for side, name in (("left", fresh.left), ("right", fresh.right)):
                with gr.Column(elem_classes=["side", side], min_width=280):
                    place = f"maps-{side}-model"
                    pickers.append(model_picker(context, name, f"Model on the {side}", show_label=False, elem_id=place))
        with gr.Row(elem_classes="switches"):
            gallery = _segmented([("The picture book", PICTURE_BOOK), ("My own pictures", MINE)], PICTURE_BOOK, "Gallery")
            method = _segmented([(title, name) for name, title in METHODS.items()], fresh.settings.method, "Method")
        with gr.Column(visible=False) as own:
            own_files = gr.File(
                label=UPLOADED,
                file_count="multiple",
                height=150,
                elem_id="maps-own-files",
            )
            folder = folder_box(context, "maps-folder", visible=True)
            report = gr.HTML()
        with gr.Accordion("Metric, neighbours and seed", open=False, elem_classes="more"), gr.Row():
            metric = gr.Dropdown(list(METRICS), value=fresh.settings.metric, label="Metric")
            near = gr.Slider(2, 100, fresh.settings.neighbours, step=1, label="Neighbours (of t-SNE: perplexity)")
            seed = gr.Number(fresh.settings.seed, label="Seed", precision=0, minimum=0)
        with gr.Row(elem_classes="chips"):
            go = gr.Button("Draw maps", variant="primary", elem_classes="go", elem_id="draw-maps", size="sm")
            stop = gr.Button("Stop", elem_id="stop-maps", elem_classes="quiet-button", size="sm", visible=False)
        status = gr.HTML(elem_id="maps-status")
    with gr.Column(elem_classes="sheet", elem_id="maps"):
        linked = linked_maps(maps.describe, "linked-maps")
        gr.HTML(KEY)
        figures = gr.HTML(elem_id="maps-figures")
        with gr.Row(elem_classes="chips"):
            exports = {
                ending: gr.Button(title, elem_classes="quiet-button", size="sm", elem_id=f"maps-{ending}")
                for ending, title in FORMS.items()
            }
    with gr.Column(elem_classes="sheet", elem_id="placing"):
        gr.HTML(
            "<h2>Place something of your own</h2><p>A long caption is placed three times, whole and cut; a line joins them.</p>"
        )
        with gr.Row(elem_classes="ask"):
            caption = gr.Textbox(
                label="Caption to place",
                show_label=False,
                placeholder="A caption, in one sentence or in ten …",
                lines=3,
                max_lines=6,
                scale=5,
                elem_id="maps-caption",
            )
            picture = gr.File(label="Or a picture", height=110, scale=2, elem_id="maps-picture")
        with gr.Row(elem_classes="chips"):
            placing = gr.Button("Place it", variant="primary", elem_classes="go", elem_id="place", size="sm")
            carried = gr.Button("The caption of the retrieval tab", size="sm", elem_classes="chip")
            clear = gr.Button("Take it away", size="sm", elem_classes="chip")
    with gr.Column(elem_classes="sheet", elem_id="nearest"):
        gr.HTML("<h2>Neighbours in the full spaces</h2><p>Of the point that you click, or of what you place.</p>")
        about = gr.HTML(elem_id="maps-point")
        with gr.Row(elem_classes="switches"):
            among = _segmented([("Of its own kind", SAME), ("Of the other kind", OTHER)], fresh.among, "Neighbours")
        with gr.Row(elem_classes="sides"):
            columns = []
            for side in ("left", "right"):
                with gr.Column(min_width=280):
                    columns.append(gr.HTML(elem_id=f"maps-{side}-nearest", js_on_load=POINTS))
    with gr.Column(elem_classes="sheet", elem_id="gathering", visible=False) as gathering:
        gathered = gr.HTML(elem_id="gathered", js_on_load=POINTS)
        with gr.Row(elem_classes="chips"):
            map_these = gr.Button("Map these alone", size="sm", elem_classes="chip", elem_id="map-gathered")
            search_these = gr.Button("Search in these", size="sm", elem_classes="chip", elem_id="search-gathered")
    with gr.Accordion("What changed most", open=False, elem_classes="more", elem_id="maps-changed"):
        gr.HTML(CHANGED)
        changed = gr.HTML(js_on_load=POINTS, elem_id="changed")

    form = [*pickers, gallery, method, metric, near, seed]
    drawn, marked = [status, linked, figures, changed, stop], [about, *columns, linked]
    choices, doors, runs = Choices(context), Doors(context, order), []

    def draw_on(event: Any) -> None:
        """Draws the maps after an event that has settled the view, and marks on them what is chosen."""
        for work, outputs in ((maps.sketch, drawn), (maps.mark, marked), (maps.finish, drawn), (maps.mark, marked)):
            event = event.then(work, view, outputs, **private(MAPS))
            runs.append(event)

    def mark_on(event: Any) -> None:
        """Shows the neighbours of what is chosen."""
        event.then(maps.mark, view, marked, **private(PLACE))

    page.load(desk.open_link, None, [view, *form, caption, among], **private())
    # A tab knows its parents once it is built; what it shows is made when it is opened.
    draw_on(doors.tab().select(desk.arrive, [selection, view, seen], [view, seen, *form], **private()))
    draw_on(gr.on([go.click, method.input], desk.settle, [selection, view, *form], [view, selection], **private()))
    gallery.input(desk.show_own, gallery, own, **private())
    draw_on(gallery.input(desk.settle, [selection, view, *form], [view, selection], **private()))
    added = gr.on(
        [own_files.upload, own_files.clear],
        choices.take_gallery,
        [own_files, selection],
        [selection, report],
        **private(UPLOAD),
    )
    draw_on(added.then(desk.settle, [selection, view, *form], [view, selection], **private()))
    named = folder.submit(choices.take_folder, [folder, selection], [selection, report], **private(UPLOAD))
    draw_on(named.then(desk.settle, [selection, view, *form], [view, selection], **private()))
    stop.click(maps.stop, None, [status, stop], cancels=runs, **private())

    for html in (linked, *columns, gathered, changed):
        picked = html.pick(desk.pick, view, [view, caption, picture], **private())
        if html is changed or html is gathered:
            picked.then(None, js=TO_POINT, **private())
        mark_on(picked)
    mark_on(among.input(lambda view, among: view.changed(among=among), [view, among], view, **private()))
    mark_on(gr.on([placing.click, caption.submit], desk.place, [view, caption, picture], [view, status], **private(UPLOAD)))
    mark_on(picture.upload(desk.place, [view, caption, picture], [view, status], **private(UPLOAD)))
    mark_on(
        carried.click(lambda selection: selection.caption, selection, caption, **private()).then(
            desk.place, [view, caption, picture], [view, status], **private(UPLOAD)
        )
    )
    mark_on(clear.click(desk.take_away, view, [view, caption, picture], **private()))
    linked.lost(maps.redraw, view, linked, **private(PLACE))
    linked.lasso(desk.gather, view, [caught, gathered, gathering, status], **private(PLACE))
    draw_on(map_these.click(desk.map_caught, [view, selection, caught], [view, selection, gallery], **private()))
    search_these.click(desk.search_caught, [selection, caught], selection, **private()).then(
        partial(doors.open, RETRIEVAL), None, doors.tabs(), **private()
    )
    save_on_click({button: partial(maps.export, ending=ending) for ending, button in exports.items()}, view, **private(SAVE))


def _segmented(options: list[tuple[str, str]], value: str, label: str) -> gr.Radio:
    return gr.Radio(options, value=value, label=label, show_label=False, container=False, elem_classes="segmented")
