"""Milliseconds of one visitor's search: alone, and while another visitor downloads, uploads, measures and draws.

    python benchmarks/visitors.py [--searches 40] [--json]

Starts `app.py` as a user would. One visitor calls the endpoint `/search`, again and again; the other is a headless Chromium
that fetches a model from a hub that never comes to its end, adds sixty pictures of 12 megapixels, measures two models, and
draws. Prints a table, then one JSON line (with `--json` that line only). Searches are timed only while the other is at work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.serving import NO_BROWSER, PATIENCE, find_browser, open_browser, run_app

if TYPE_CHECKING:
    from playwright.sync_api import Page

MODEL, REPOSITORY = "picturebook-longclip", "owner/slow"
ALLOWED = 1.5
PICTURES, SIDES = 60, (4000, 3000)
# Seconds until the app has made everything ready, the maps' compiler too.
READY = 100.0
# Bytes of the file that comes slowly, and of each of its pieces; seconds between two pieces.
SIZE, PIECE, PAUSE = 200_000_000, 100_000, 0.2
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"open_clip_config.json": 2, "open_clip_model.safetensors": SIZE}


class Hub(BaseHTTPRequestHandler):
    """A hub with one model, whose weights come at half a megabyte a second."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        listing = {
            "id": REPOSITORY,
            "sha": COMMIT,
            "siblings": [{"rfilename": name, "size": size} for name, size in FILES.items()],
        }
        content = json.dumps(listing).encode() if path.startswith("/api/") else b"{}"
        size = SIZE if path.endswith("safetensors") else len(content)
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{size}"')
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command == "GET" and size != SIZE:
            self.wfile.write(content)
        while self.command == "GET" and size == SIZE:
            try:
                self.wfile.write(bytes(PIECE))
            except OSError:  # nobody waits for it any more
                return
            time.sleep(PAUSE)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def slow_hub() -> Iterator[str]:
    """The address of a `Hub`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def download(page: Page) -> None:
    page.fill("#right-model input", f"hf-hub:{REPOSITORY}")
    page.press("#right-model input", "Enter")


def upload(page: Page, files: list[Path]) -> None:
    page.get_by_text("My own pictures", exact=True).first.click()
    page.locator("#own-files input[type=file]").set_input_files(files)


def measure(page: Page) -> None:
    page.locator("role=tab[name='Evaluate']").click()
    page.get_by_text("300", exact=True).last.click()
    page.click("#measure")


def draw(page: Page) -> None:
    page.locator("role=tab[name='Text to image']").click()
    page.click("#draw")


def make_pictures(folder: Path) -> list[Path]:
    """Files of drawn noise, as large as a photograph and about as hard to decode."""
    width, height = SIDES
    generator = np.random.default_rng(0)
    files = []
    for number in range(PICTURES):
        small = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        files.append(folder / f"{number}.jpg")
        Image.fromarray(small).resize(SIDES).save(files[-1], quality=85)
    return files


def time_searches(search: Callable[[str], object], captions: list[str]) -> list[float]:
    """Milliseconds of a search with each caption, a tenth of a second apart."""
    times = []
    for caption in captions:
        begun = time.perf_counter()
        search(caption)
        times.append(1000 * (time.perf_counter() - begun))
        time.sleep(0.1)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=40, help="searches of each kind (default 40)")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    arguments = parser.parse_args()
    if find_browser() is None:
        parser.error(NO_BROWSER)
    from gradio_client import Client

    from longclip.gallery import Gallery
    from longclip.registry import assets

    captions = iter(dict.fromkeys(Gallery.from_folder(assets() / "gallery").captions))
    times: dict[str, list[float]] = {}
    with TemporaryDirectory() as name, slow_hub() as hub, open_browser() as browser:
        folder = Path(name)
        files = make_pictures(folder)
        work = {
            "alone": lambda page: None,
            "another downloads": download,
            "another adds 60 pictures": lambda page: upload(page, files),
            "another measures": measure,
            "another draws": draw,
        }
        with run_app(folder, environment={"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0"}) as app:
            client = Client(app.address, verbose=False)
            page = browser.new_page()
            page.set_default_timeout(PATIENCE * 1000)
            page.goto(app.address)
            page.wait_for_selector("#right-ranking .card")
            page.close()
            time.sleep(READY)
            for what, begin in work.items():
                page = browser.new_page()
                page.set_default_timeout(PATIENCE * 1000)
                page.goto(app.address)
                page.wait_for_selector("#right-ranking .card")
                begin(page)
                asked = [next(captions) for _ in range(arguments.searches)]
                times[what] = time_searches(lambda caption: client.predict(caption, MODEL, 10, api_name="/search"), asked)
                page.close()
    median = {what: round(statistics.median(values), 1) for what, values in times.items()}
    slow = {what: round(statistics.quantiles(values, n=10)[-1], 1) for what, values in times.items()}
    ratios = {what: round(value / median["alone"], 2) for what, value in median.items()}
    if not arguments.json:
        print(f"{'a search':<28}{'median ms':>10}{'90th':>10}{'of alone':>10}{'allowed':>10}")
        for what, value in median.items():
            print(f"{what:<28}{value:>10.1f}{slow[what]:>10.1f}{ratios[what]:>10.2f}{ALLOWED:>10}")
    print(json.dumps({"cpus": os.cpu_count(), "search_ms": median, "search_ms_90th": slow, "ratio": ratios}))


if __name__ == "__main__":
    main()
