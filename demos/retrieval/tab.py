"""The tab *Long-text retrieval*: one query, two models, and where each of them finds the right answer."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from demos.context import Context
from demos.doors import Doors
from demos.events import ENDPOINT, LIMITS, SAVE, SEARCH, UPLOAD, private
from demos.examples import EVERY, EXAMPLES, KINDS
from demos.pickers import folder_box, model_picker
from demos.pieces import model_terms
from demos.retrieval.choices import Choices, show_inputs
from demos.retrieval.panels import CURVE_HEADING, KEY
from demos.retrieval.query import MINE
from demos.retrieval.searches import TAB, Searches
from demos.saving import save_on_click
from demos.selection import BY_SUM, PICTURE_BOOK, TO_CAPTIONS, TO_PICTURES, Selection
from demos.uploads import UPLOADED

NAME, TITLE = TAB, "Long-text retrieval"

# Buttons inside the HTML carry what they do as data; the listener sits outside of what is replaced.
PICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-pick], [data-clear], [data-copy], [data-like], [data-door]');
  if (!button) return;
  if ('like' in button.dataset) return trigger('like', { pick: button.dataset.like });
  if ('door' in button.dataset) return trigger('carry', { pick: button.dataset.name, door: button.dataset.door });
  if ('copy' in button.dataset) {
    navigator.clipboard?.writeText(location.href).then(() => { button.textContent = 'Link copied'; });
  } else {
    trigger('select', { pick: button.dataset.pick ?? null });
  }
});
"""
# The address bar follows the selection, and keeps what others put there.
ADDRESS = (
    PICKS
    + """
const show = () => {
  const wanted = element.querySelector('[data-address]')?.dataset.address;
  if (!wanted) return;
  const here = new URL(location.href);
  for (const name of ['left', 'right', 'search', 'picture', 'caption']) here.searchParams.delete(name);
  new URLSearchParams(wanted).forEach((value, name) => {
    // Another tab may be open: which one it is, the tabs say.
    if (name !== 'tab' || !here.searchParams.has('tab')) here.searchParams.set(name, value);
  });
  history.replaceState(history.state, '', here);
};
watch('value', show);
"""
)
TO_QUERY = """() => {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  document.getElementById('query').scrollIntoView({ behavior: calm ? 'auto' : 'smooth', block: 'start' });
}"""


def build(context: Context, page: gr.Blocks, selection: gr.State) -> None:
    """Adds the tab's components to the block that is open, and its events to the page."""
    fresh = Selection()
    choices, searches = Choices(context), Searches(context)
    with gr.Column(elem_id="query", elem_classes=["sheet"]) as query_sheet:
        with gr.Row(elem_classes="switches"):
            search = gr.Radio(
                [("Text → pictures", TO_PICTURES), ("Picture → captions", TO_CAPTIONS), ("Weighted sum → pictures", BY_SUM)],
                value=fresh.search,
                label="Search",
                show_label=False,
                container=False,
                elem_classes="segmented",
            )
            gallery = gr.Radio(
                [("The picture book", PICTURE_BOOK), ("My own pictures", MINE)],
                value=PICTURE_BOOK,
                label="Gallery",
                show_label=False,
                container=False,
                elem_classes="segmented",
            )
        with gr.Row(elem_classes="ask"):
            with gr.Column(scale=5, min_width=280, elem_classes=["writing"]):
                caption = gr.Textbox(
                    label="Caption",
                    show_label=False,
                    placeholder="Describe a scene, in one sentence or in ten …",
                    lines=4,
                    max_lines=8,
                    elem_id="caption",
                )
                with gr.Row(elem_classes="chips"):
                    go = gr.Button("Search", variant="primary", elem_id="search", size="sm")
                    chips = [gr.Button(example.title, size="sm", elem_classes="chip") for example in EXAMPLES]
                    surprise = gr.Button("Surprise me", size="sm", elem_classes="chip")
                    stop = gr.Button("Stop", elem_id="stop", size="sm", visible=False)
            with gr.Column(scale=2, min_width=220):
                answer = gr.HTML(elem_id="answer", js_on_load=ADDRESS)
                query_file = gr.File(label="Search with a picture of your own", height=150, visible=False, elem_id="query-file")
        own_files = gr.File(
            label=UPLOADED,
            file_count="multiple",
            height=150,
            visible=False,
            elem_id="own-files",
        )
        folder = folder_box(context, "retrieval-folder")
        report, note = gr.HTML(), gr.HTML()
    sides: list[dict[str, Any]] = []
    with gr.Row(elem_classes="sides"):
        for side, name in (("left", fresh.left), ("right", fresh.right)):
            with gr.Column(elem_classes=["sheet", "side", side], elem_id=side, min_width=300):
                picker = model_picker(context, name, f"Model on the {side}", show_label=False, elem_id=f"{side}-model")
                terms = gr.HTML(model_terms(context, name))
                read = gr.HTML()
                ranked = gr.HTML(elem_id=f"{side}-ranking", js_on_load=PICKS)
                sides.append({"picker": picker, "terms": terms, "read": read, "ranked": ranked})
    with gr.Row(elem_classes="key-row"):
        gr.HTML(KEY)
        save = gr.Button("Results as CSV", elem_id="csv", size="sm")
    with gr.Column(elem_classes=["sheet"], elem_id="curve"):
        gr.HTML(CURVE_HEADING)
        curve_hint = gr.HTML()
        plot = gr.Plot(show_label=False, container=False, visible=False)
        numbers = gr.HTML()
    with gr.Accordion("Browse the picture book", open=False, elem_id="browse") as browser:
        with gr.Row(elem_classes="switches"):
            kind = gr.Radio(
                list(KINDS), value=EVERY, show_label=False, container=False, label="Scenes", elem_classes="segmented"
            )
            others = gr.Button("Show others", size="sm", elem_classes="chip")
        scenes = gr.HTML(js_on_load=PICKS)

    pickers, terms, read, ranked = ([side[part] for side in sides] for part in ("picker", "terms", "read", "ranked"))
    doors = searches.doors = Doors(context, query_sheet)
    arrived, door = gr.State(0), gr.State("")
    form = [selection, caption, *pickers, search, gallery]
    found = [selection, answer, note, *read, *ranked, stop]

    # Before the other events, which would take the name.
    gr.api(searches.rank_pictures, api_name="search", concurrency_id=ENDPOINT, concurrency_limit=LIMITS[ENDPOINT])
    runs: list[Any] = []

    def run_on(listen: Any) -> None:
        """Searches, then draws the curve, when `listen` is a component's event, or another event's `then`."""
        searched = listen(fn=searches.search, inputs=form, outputs=found, **private(SEARCH))
        drawn = searched.then(searches.draw_curve, selection, [curve_hint, plot, numbers], **private(SEARCH))
        runs.extend((searched, drawn))

    fields = [selection, caption, search, gallery, query_file]
    run_on(page.load(choices.open_link, None, [*fields, *pickers, *terms], **private()).then)
    run_on(partial(gr.on, [go.click, caption.submit, search.input, gallery.input]))
    for number, chip in enumerate(chips):
        run_on(chip.click(partial(choices.pick_example, number), form, fields, **private()).then)
    run_on(surprise.click(choices.pick_random, form, fields, **private()).then)
    for html in (*ranked, scenes):
        picked = html.select(choices.pick, form, fields, **private())
        picked.then(None, js=TO_QUERY, **private())
        run_on(picked.then)
    for html in ranked:
        run_on(html.like(choices.pick_like, selection, fields, **private()).then)
        carried = html.carry(choices.carry, selection, [selection, door], **private())
        carried.then(doors.open, door, doors.tabs(), **private())
    doors.tab().select(choices.arrive, [selection, gallery, arrived], [*fields, arrived], **private())
    run_on(arrived.change)
    run_on(answer.select(choices.forget_picture, selection, fields, **private()).then)
    for picker, term in zip(pickers, terms, strict=True):
        run_on(picker.input(partial(model_terms, context), picker, term, **private()).then)
    run_on(folder.submit(choices.take_folder, [folder, selection], [selection, report], **private(UPLOAD)).then)
    query, own = [selection, report, query_file], [selection, report]
    for files, handler, outputs in ((query_file, choices.take_picture, query), (own_files, choices.take_gallery, own)):
        run_on(gr.on([files.upload, files.clear], handler, [files, selection], outputs, **private(UPLOAD)).then)
    gr.on(
        [search.change, gallery.change],
        partial(show_inputs, context.public),
        [search, gallery],
        [gallery, query_file, own_files, browser, folder],
        **private(),
    )  # `change`, as Gradio fires no `input` for text that is pasted.
    caption.change(searches.read_caption, [caption, *pickers, search], read, trigger_mode="multiple", **private())
    stop.click(searches.stop, ranked, [*ranked, stop], cancels=runs, **private())
    save_on_click({save: searches.save_csv}, selection, **private(SAVE))
    browser.expand(choices.browse, kind, scenes, **private())
    gr.on([kind.input, others.click], choices.browse, kind, scenes, **private())
