"""The app as a user starts it, and a headless browser to look at it: for the tests of the page and its benchmark."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = f"no browser: none of {', '.join(BROWSERS)} is in PATH"
# No start-up chatter with other machines; in a container the sandbox cannot start.
QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
)
# Seconds until the app must have answered.
PATIENCE = 240.0


@dataclass(frozen=True)
class App:
    """A running app: its address, the moment of the command (`time.perf_counter`), and the file of what it prints."""

    address: str
    begun: float
    log: Path


@dataclass
class Log:
    """What went wrong in a page, and every request of its to another machine."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


def watch(page: Page, address: str) -> Log:
    """The log of a page of the app at an address, from now on."""
    log = Log()
    inside = (address, "data:", "blob:", "about:")
    page.on("console", lambda message: log.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: log.errors.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(inside) else log.outside.append(request.url))
    return log


@contextmanager
def run_app(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[App]:
    """Starts the app on a free port, with an empty model cache in `folder` and no hub, and waits until it serves its page.

    environment: variables that are laid over that, such as the address of a hub.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "GRADIO_TEMP_DIR": str(folder / "files")}
    variables = os.environ | quiet | dict(environment or {})
    command = [sys.executable, "app.py", "--port", str(port), *arguments]
    app = App(f"http://127.0.0.1:{port}/", time.perf_counter(), folder / "log")
    with app.log.open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(app, process)
        yield app
    finally:
        process.terminate()
        process.wait()


def find_browser() -> str | None:
    """The Chromium of this machine, if it has one."""
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless browser. Raises FileNotFoundError where there is none."""
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        raise FileNotFoundError(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


def _wait_for(app: App, process: subprocess.Popen) -> None:
    while time.perf_counter() < app.begun + PATIENCE:
        if process.poll() is not None:
            raise RuntimeError(f"the app ended: {app.log.read_text()}")
        try:
            with urllib.request.urlopen(app.address, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing answers at {app.address}: {app.log.read_text()}")
