"""Milliseconds of a visitor's search alone, and while another one downloads, uploads, measures and draws.

    python benchmarks/visitors.py [--searches 30] [--json]

Starts `app.py` as a user would. Visitor A searches the picture book over HTTP as the page does, with both models; visitor B
does one thing after another, each again and again until A has done. Prints a table, then one JSON line (with `--json` that
line only).
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
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from demos.generation.order import Order  # noqa: E402
from demos.retrieval.query import MINE  # noqa: E402
from demos.selection import PICTURE_BOOK, TO_PICTURES  # noqa: E402
from longclip.evaluation.measures import CHEAP  # noqa: E402
from longclip.generation.specs import EMBEDDED  # noqa: E402
from tests.serving import run_app  # noqa: E402
from tests.visiting import Visitor  # noqa: E402

PAIR = ("picturebook-clip", "picturebook-longclip")
ALONE, LIMIT = "alone", 1.5
# Seconds until the app has made everything ready, the maps' compiler left out; and that B is ahead of A.
READY, AHEAD = 40.0, 1.0
UPLOADS, SIDES = 60, (4000, 3000)
# Seconds that B may go on after A's last search; and that A reads between two searches.
PATIENCE, READING = 60.0, 0.3
ENDLESS = "downloads a model"
COMMIT = "0" * 40
SIZE, CHUNK, EVERY = 2_000_000_000, 1_000_000, 0.1


class SlowHub(BaseHTTPRequestHandler):
    """As much of the hub as a download needs: one repository, whose weights arrive at ten megabytes a second."""

    def do_GET(self) -> None:
        listing = {"id": "owner/slow", "sha": COMMIT, "siblings": [{"rfilename": "longclip-B.pt", "size": SIZE}]}
        is_api = self.path.startswith("/api/")
        content = json.dumps(listing).encode() if is_api else b""
        self.send_response(200)
        for name, value in (("X-Repo-Commit", COMMIT), ("ETag", '"slow"'), ("Content-Length", len(content) or SIZE)):
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(content)
            for _ in range(0 if is_api else SIZE // CHUNK):
                self.wfile.write(bytes(CHUNK))
                time.sleep(EVERY)
        except OSError:  # the app has ended
            pass

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def draw_photographs(folder: Path) -> list[Path]:
    """JPEGs of 12 megapixels that no two share, with the detail of a photograph."""
    random, paths = np.random.default_rng(0), []
    for number in range(UPLOADS):
        coarse = Image.fromarray(random.integers(0, 256, (150, 200, 3), dtype=np.uint8))
        paths.append(folder / f"{number}.jpg")
        coarse.resize(SIDES, Image.Resampling.BILINEAR).save(paths[-1], quality=90)
    return paths


def search(visitor: Visitor, caption: str, models: tuple[str, str] = PAIR, gallery: str = PICTURE_BOOK) -> None:
    visitor.call("search_1", None, caption, *models, TO_PICTURES, gallery)


def situations(address: str, photographs: list[Path], caption: str) -> dict[str, Callable[[], None]]:
    """What B does, by what it is called."""
    visitor, order = Visitor(address, 600), Order()
    form = ["a red fox beside a pond", "", EMBEDDED, PAIR[1], list(order.arms), order.share, order.seed, 1]

    def add() -> None:
        visitor.call("take_gallery", visitor.upload(*photographs), None)
        search(visitor, caption, gallery=MINE)

    def draw() -> None:
        visitor.call("prepare", "detector", *form, order.steps, order.guidance, order.clip_skip)
        visitor.call("draw_1", None)

    return {
        "uploads sixty pictures": add,
        "measures 300 pictures": lambda: visitor.call("measure", *PAIR, PICTURE_BOOK, "", 300, list(CHEAP)),
        "draws three pictures": draw,
        ENDLESS: lambda: search(visitor, caption, ("hf-hub:owner/slow", PAIR[1])),
    }


def time_searches(visitor: Visitor, captions: list[str]) -> list[float]:
    times = []
    for caption in captions:
        begun = time.perf_counter()
        search(visitor, caption)
        times.append(1000 * (time.perf_counter() - begun))
        time.sleep(READING)
    return times


def time_beside(work: Callable[[], None], measure: Callable[[], list[float]], endless: bool) -> list[float]:
    """What `measure` returns while `work` runs, again and again. Raises what work does."""
    done, failed = threading.Event(), []

    def again() -> None:
        while not done.is_set() and not failed:
            try:
                work()
            except Exception as error:
                if not done.is_set():
                    failed.append(error)

    other = threading.Thread(target=again, daemon=True)
    other.start()
    time.sleep(AHEAD)
    times = measure()
    done.set()
    other.join(0.0 if endless else PATIENCE)
    if failed:
        raise failed[0]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=30)
    parser.add_argument("--ready", type=float, default=READY, help="seconds that the app has before the first search")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    arguments = parser.parse_args()
    from longclip.gallery import Gallery
    from longclip.registry import assets

    captions = list(dict.fromkeys(Gallery.from_folder(assets() / "gallery").captions))
    found: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder, serve_hub() as hub:
        photographs = draw_photographs(Path(folder))
        online = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0"}
        with run_app(Path(folder), environment=online) as app:
            # Each caption once: a known one need not be read again.
            visitor, fresh = Visitor(app.address), iter(captions[10:])

            def searches() -> list[float]:
                return time_searches(visitor, list(islice(fresh, arguments.searches)))

            time.sleep(arguments.ready)
            time_searches(visitor, captions[:10])
            found[ALONE] = searches()
            # The download last: it goes on until the app ends.
            for name, work in situations(app.address, photographs, captions[5]).items():
                found[name] = time_beside(work, searches, name == ENDLESS)
    rows = {
        name: {"median": statistics.median(times), "90 %": statistics.quantiles(times, n=10)[-1]}
        for name, times in found.items()
    }
    for row in rows.values():
        row["ratio"] = row["median"] / rows[ALONE]["median"]
    if not arguments.json:
        print(f"{'the other visitor':<28}{'median ms':>10}{'90 % ms':>10}{'ratio':>8}   (target: {LIMIT})")
        for name, row in rows.items():
            print(f"{name:<28}{row['median']:>10.0f}{row['90 %']:>10.0f}{row['ratio']:>8.2f}")
    rounded = {name: {what: round(value, 2) for what, value in row.items()} for name, row in rows.items()}
    print(json.dumps({"cpus": os.cpu_count(), "searches": arguments.searches, "ms": rounded}))


if __name__ == "__main__":
    main()
