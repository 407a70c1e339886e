"""Seconds until the app can be used and until its tabs show something, and milliseconds of a search over its gallery.

    python benchmarks/app.py [--starts 3] [--searches 100] [--json]

Starts `app.py` as a user would, and in headless Chromium waits for the page and for its first results. Then times searches:
the handler alone (both models, HTML included), the public endpoint, and from the click to the new results in the browser;
and the other tabs, from the click to what they show first, or draw. Prints a table, then one JSON line (with `--json` that
line only).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.serving import NO_BROWSER, PATIENCE, find_browser, open_browser, run_app

PAIR = ("picturebook-clip", "picturebook-longclip")
# What a visitor clicks, and what then comes to stand in the page.
TABS = {
    "role=tab[name='Which words count']": {
        "first words in colour": "#words-board .reader .word",
        "words of both models": "#words-board .reader.right .word",
        "their maps of pixels": "#words-board .reader.right[data-maps]",
    },
    "role=tab[name='Embedding maps']": {"first map": "#linked-maps .map.right canvas"},
}
# And of the tab Text to image, from the click on Draw: the usual long prompt in three arms.
DRAWN = {
    "first preview": "#board .shot img",
    "first picture": "#board .shot figcaption",
    "three pictures, judged": "#board .arm:last-child .judged",
}
TARGETS = {
    "page": 15.0,
    "first words in colour": 1.0,
    "first map": 3.0,
    "first preview": 0.5,
    "first picture": 2.0,
    "handler": 300.0,
    "endpoint": 300.0,
    "click": 300.0,
}
# Seconds between two searches in the browser, in which the curve is drawn.
READING = 1.0
# Seconds until the app has made everything ready, the maps' compiler left out.
READY = 40.0
# In the page: milliseconds from the click until the right picture of this id stands in the results, and they are painted.
CLICK = """id => new Promise(resolve => {
  const begun = performance.now();
  const look = () => {
    if (document.querySelector('#right-ranking .right')?.dataset.pick !== id) return;
    watcher.disconnect();
    requestAnimationFrame(() => resolve(performance.now() - begun));
  };
  const watcher = new MutationObserver(look);
  watcher.observe(document.querySelector('#right-ranking'), { subtree: true, childList: true });
  document.querySelector('#search').click();
})"""
# Of what is clicked: seconds until each of these selectors finds something, and it is painted.
OPEN = """(element, shown) => {
  const begun = performance.now();
  const first = (selector) => new Promise(resolve => {
    const look = () => {
      if (!document.querySelector(selector)) return;
      watcher.disconnect();
      requestAnimationFrame(() => resolve((performance.now() - begun) / 1000));
    };
    const watcher = new MutationObserver(look);
    watcher.observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  const found = Promise.all(shown.map(first));
  element.click();
  return found;
}"""


def time_start(browser) -> dict[str, float]:
    """Seconds from the command to: the server's answer, a page one can type in, the first results of both models."""
    with TemporaryDirectory() as folder, run_app(Path(folder)) as app:
        seconds = {"server": time.perf_counter() - app.begun}
        page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(app.address)
        page.wait_for_selector("#caption textarea")
        seconds["page"] = time.perf_counter() - app.begun
        page.wait_for_selector("#left-ranking .card")
        page.wait_for_selector("#right-ranking .card")
        seconds["results"] = time.perf_counter() - app.begun
        page.close()
    return seconds


def time_tabs(browser) -> dict[str, float]:
    """Seconds from a click to what TABS names, in an app that has had time to make itself ready."""
    seconds: dict[str, float] = {}
    with TemporaryDirectory() as folder, run_app(Path(folder)) as app:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(app.address)
        page.wait_for_selector("#right-ranking .card")
        time.sleep(READY)
        # Drawing first: maps go on being made for a while behind their tab.
        page.locator("role=tab[name='Text to image']").click()
        seconds |= zip(DRAWN, page.locator("#draw").evaluate(OPEN, list(DRAWN.values())), strict=True)
        for click, shown in TABS.items():
            seconds |= zip(shown, page.locator(click).evaluate(OPEN, list(shown.values())), strict=True)
        page.close()
    return seconds


def time_calls(work: Callable[[str], object], captions: list[str]) -> list[float]:
    """Milliseconds of each call, the first ten left out."""
    times = []
    for caption in captions:
        begun = time.perf_counter()
        work(caption)
        times.append(1000 * (time.perf_counter() - begun))
    return times[10:]


def time_clicks(click: Callable[[str], float], captions: list[str]) -> list[float]:
    """What `click` returns for each caption, the first ten left out, with time between them for the curve to be drawn."""
    times = []
    for caption in captions:
        times.append(click(caption))
        time.sleep(READING)
    return times[10:]


def time_searches(browser, captions: list[str]) -> dict[str, list[float]]:
    """Milliseconds of searches by handler, endpoint and click."""
    from gradio_client import Client

    from demos.context import Context
    from demos.retrieval.searches import Searches
    from demos.selection import PICTURE_BOOK, TO_PICTURES, Selection

    searches = Searches(Context())
    form = (*PAIR, TO_PICTURES, PICTURE_BOOK)
    times = {"handler": time_calls(lambda caption: list(searches.search(Selection(), caption, *form)), captions)}
    with TemporaryDirectory() as folder, run_app(Path(folder)) as app:
        client = Client(app.address, verbose=False)
        endpoint = time_calls(lambda caption: client.predict(caption, PAIR[1], 10, api_name="/search"), captions)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(app.address)
        page.wait_for_selector("#right-ranking .card")

        def click(caption: str) -> float:
            page.fill("#caption textarea", caption)
            return page.evaluate(CLICK, ids[caption])

        book = searches.context.gallery(PICTURE_BOOK)
        ids = {caption: book.ids[book.captions.index(caption)] for caption in captions}
        times |= {"endpoint": endpoint, "click": time_clicks(click, captions)}
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    arguments = parser.parse_args()
    if find_browser() is None:
        parser.error(NO_BROWSER)
    from longclip.gallery import Gallery
    from longclip.registry import assets

    captions = list(dict.fromkeys(Gallery.from_folder(assets() / "gallery").captions))[: arguments.searches + 10]
    with open_browser() as browser:
        starts = [time_start(browser) for _ in range(arguments.starts)]
        tabs = [time_tabs(browser) for _ in range(arguments.starts)]
        searches = time_searches(browser, captions)
    seconds, opened = (
        {name: round(statistics.median(one[name] for one in runs), 2) for name in runs[0]} for runs in (starts, tabs)
    )
    median = {name: round(statistics.median(times), 1) for name, times in searches.items()}
    slowest = {name: round(statistics.quantiles(times, n=20)[-1], 1) for name, times in searches.items()}
    if not arguments.json:
        for title, values in (("from the command to", seconds), ("from the click to", opened)):
            print(f"{title:<28}{'median s':>10}{'target':>10}")
            for name, value in values.items():
                print(f"{name:<28}{value:>10.2f}{TARGETS.get(name, ''):>10}")
            print()
        print(f"{'a search':<28}{'median ms':>10}{'target':>10}{'95th':>10}")
        for name, value in median.items():
            print(f"{name:<28}{value:>10.1f}{TARGETS[name]:>10}{slowest[name]:>10.1f}")
    print(
        json.dumps(
            {"cpus": os.cpu_count(), "start_s": seconds, "tabs_s": opened, "search_ms": median, "search_ms_95th": slowest}
        )
    )


if __name__ == "__main__":
    main()
