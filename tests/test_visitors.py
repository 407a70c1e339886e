"""Two visitors at once, over HTTP: nobody waits for what another one downloads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from visiting import Visitor

import app
from demos.attribution.order import Order
from demos.context import Context
from demos.selection import PICTURE_BOOK, TO_PICTURES
from demos.slots import DOWNLOAD

PAIR = ("picturebook-clip", "picturebook-longclip")
CAPTION = "A red fox sits beside a small pond under a yellow moon."
EXPLAINED = (Order().level, Order().method, Order().removal, Order().budget)


@pytest.fixture
def downloads(monkeypatch):
    """Downloads that hang until `released` is set; `begun` counts those that have started."""
    released, begun = threading.Event(), threading.Semaphore(0)
    load = Context._load

    def hang(self, name, note):
        if name.startswith("hf-hub:"):
            begun.release()
            assert released.wait(60)
            name = PAIR[0]
        return load(self, name, note)

    monkeypatch.setattr(Context, "_load", hang)
    yield released, begun
    released.set()


@pytest.fixture
def served():
    page = app.build(Context())
    _, address, _ = page.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, max_threads=app.THREADS, ssr_mode=False, quiet=True
    )
    yield address
    page.close()


def test_nobody_waits_for_the_downloads_of_another(served, downloads, tmp_path):
    released, begun = downloads
    Image.new("RGB", (64, 48), "tomato").save(tmp_path / "mine.png")
    a = Visitor(served)
    # More than there are slots: one of them is in line, and all hold the places of their events.
    names = [f"hf-hub:owner/slow-{number}" for number in range(DOWNLOAD.slots + 1)]
    with ThreadPoolExecutor(len(names)) as others:
        try:
            waiting = [
                others.submit(Visitor(served).call, "search_1", None, CAPTION, name, PAIR[1], TO_PICTURES, PICTURE_BOOK)
                for name in names
            ]
            for _ in range(DOWNLOAD.slots):
                assert begun.acquire(timeout=60)
            found = a.call("search_1", None, CAPTION, *PAIR, TO_PICTURES, PICTURE_BOOK)
            assert all("Best of 1,240 pictures" in column for column in found[5:7])
            file = a.upload(tmp_path / "mine.png")
            assert "1 picture added" in a.call("take_gallery", file, None)[1]
            assert not a.call("take_picture_1", file[0], None, CAPTION)[-1]
            told = a.call("explain", None, None, CAPTION, *PAIR, *EXPLAINED)
            assert told[0] == "" and told[4]["visible"] is False
            assert not any(call.done() for call in waiting)
        finally:
            released.set()
        # And whoever waited gets what they asked for.
        for call in waiting:
            assert all("Best of 1,240 pictures" in column for column in call.result(60)[5:7])
