"""The app: `python app.py` opens CLIP and Long-CLIP side by side in the browser."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from threading import Thread

# Before Gradio is imported: no request leaves the machine but for a model the visitor asks for.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from starlette.middleware import Middleware

from demos import attribution, evaluation, finetuning, generation, maps, retrieval
from demos.context import Context, Unavailable
from demos.events import THREADS, check_events, private
from demos.guard import Guard, Page
from demos.selection import PICTURE_BOOK, Selection
from demos.server import CannotStart, check_address, end_on_signals, find_address, leave, own_folder
from longclip.devices import choose_device
from longclip.projection import warm_up
from longclip.registry import assets

# Fine-tuning last: it adds a visitor's own models to the pickers of the tabs before it.
TABS = (retrieval, attribution, generation, maps, evaluation, finetuning)
STYLE = Path(__file__).parent / "assets" / "style.css"
HEADER = """
<header><h1>longclip</h1><p><b>CLIP stops reading after 77 tokens, Long-CLIP goes on to 248.</b>
Search one gallery with both and see what the difference is worth. The models that ship with this page are small models of a
drawn world; real ones can be fetched in the pickers{others}.</p></header>
"""
OTHERS = ", where any <code>hf-hub:owner/name</code> or folder of yours can be typed"
# Fonts that the visitor's machine has: a web font would be a request to somebody else.
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
# The address names the tab that is open; not before the one it asks for is: the first tab is selected ahead of that.
OPENED = "() => { window.longclipOpened = true; }"
IN_ADDRESS = """() => {
  if (!window.longclipOpened) return;
  const here = new URL(location.href);
  here.searchParams.set('tab', '%s');
  history.replaceState(history.state, '', here);
}"""
# Calls that wait at most, over all visitors; more are told that the page is busy.
QUEUE = 256
MAX_FILE = "20mb"
# Uploaded files are looked over this often and removed at this age, in seconds: what the page says of it must be true.
CLEANING = (300, 3600)
# Visits whose values are kept in memory: a megabyte or so each.
SESSIONS, SESSIONS_PUBLIC = 1000, 200
# Seconds after which the rest is made ready: some seconds of work that the first visitor's page should not share with.
REST_AFTER = 15.0
# And after which the maps' compiler is warmed up: a minute of a core. (Not at a lower priority: it may hold Python's lock.)
COMPILER_AFTER = 60.0


def build(context: Context) -> Page:
    """The page with all its tabs."""
    context.tabs = tuple(module.NAME for module in TABS)
    with Page(title="longclip", analytics_enabled=False, delete_cache=CLEANING, fill_width=True) as page:
        page.public = context.public
        selection = gr.State(Selection(), time_to_live=3600)
        gr.HTML(HEADER.format(others="" if context.public else OTHERS))
        with gr.Tabs() as tabs:
            for module in TABS:
                with gr.Tab(module.TITLE, id=module.NAME) as tab:
                    module.build(context, page, selection)
                tab.select(None, js=IN_ADDRESS % module.NAME, **private())
        opened = page.load(open_tab, None, tabs, **private())
        opened.then(None, js=OPENED, **private())
    check_events(page)
    # No call passes by the queue.
    return page.queue(max_size=QUEUE, api_open=False)


def open_tab(request: gr.Request) -> gr.Tabs:
    """The tab that the page's address names."""
    names = [module.NAME for module in TABS]
    wanted = request.query_params.get("tab")
    return gr.Tabs(selected=wanted if wanted in names else names[0])


def theme() -> gr.themes.Base:
    """Calm and flat; colours of our own are in the style sheet."""
    fonts = {"font": SANS, "font_mono": MONO}
    plain = gr.themes.Base(primary_hue="indigo", neutral_hue="slate", radius_size="lg", **fonts)
    colours = {
        "body_background_fill": "var(--paper)",
        "body_text_color": "var(--ink)",
        "block_background_fill": "transparent",
        "block_label_text_color": "var(--soft)",
        "block_title_text_color": "var(--soft)",
        "block_info_text_color": "var(--soft)",
        "input_background_fill": "var(--field)",
        "input_border_color": "var(--line)",
        "input_border_color_focus": "var(--accent)",
        "border_color_primary": "var(--line)",
        "button_secondary_background_fill": "transparent",
        "button_secondary_text_color": "var(--ink)",
    }
    in_the_dark = {f"{name}_dark": value for name, value in colours.items()}
    return plain.set(block_border_width="0px", block_padding="0px", input_border_width="1px", **colours, **in_the_dark)


def warm(context: Context) -> None:
    """Loads what is embedded and reads the gallery with both models, so that nobody's first search or picture need wait."""
    names = [spec.name for spec in context.models.values() if spec.embedded]
    try:
        for name in names:
            context.embedded("pictures", PICTURE_BOOK, name)
        time.sleep(REST_AFTER)
        for name in names:
            context.embedded("captions", PICTURE_BOOK, name)
        generation.warm(context)
    except Unavailable as error:
        print(f"not ready: {error}")
    time.sleep(COMPILER_AFTER)
    warm_up()


def clean(context: Context) -> None:
    """Lets go of visitors' pictures and models that are no longer used, also while nobody comes."""
    while True:
        time.sleep(CLEANING[0])
        context.drop_old()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", help="address to listen on (default GRADIO_SERVER_NAME, on a Space 0.0.0.0, else 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default GRADIO_SERVER_PORT, else 7860)")
    parser.add_argument("--device", metavar="NAME", help="cuda, cuda:N, mps or cpu (default: the fastest there is)")
    parser.add_argument(
        "--public",
        action=argparse.BooleanOptionalAction,
        default="SPACE_ID" in os.environ,
        help="tighter limits and only the models listed, for a page that strangers use (default: on a Space)",
    )
    parser.add_argument("--fine-tune", action="store_true", help="let strangers fine-tune models too, where --public is given")
    chosen = parser.parse_args(arguments)
    try:
        device = str(choose_device(chosen.device))
    except ValueError as error:
        parser.error(str(error))
    end_on_signals()
    try:
        host, port = find_address(chosen.host, chosen.port, os.environ)
        check_address(host, port)
        with own_folder():
            serve(Context(device, chosen.public, chosen.fine_tune or not chosen.public), host, port)
    except CannotStart as error:
        parser.exit(1, f"{error}\n")
    leave()


def serve(context: Context, host: str, port: int) -> None:
    """Opens the page and stays until it is told to end."""
    gr.set_static_paths([assets() / "gallery"])
    page = build(context)
    guard = Middleware(Guard, public=context.public, host=host, waiting=page.count_waiting)
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        prevent_thread_lock=True,
        max_file_size=MAX_FILE,
        max_threads=THREADS,
        state_session_capacity=SESSIONS_PUBLIC if context.public else SESSIONS,
        app_kwargs={"middleware": [guard]},
        enable_monitoring=False,
        footer_links=["api", "settings"],
        run_history=False,
        ssr_mode=False,
        theme=theme(),
        css_paths=STYLE,
    )
    Thread(target=warm, args=(context,), daemon=True, name="warm").start()
    Thread(target=clean, args=(context,), daemon=True, name="clean").start()
    page.block_thread()


if __name__ == "__main__":
    main()
