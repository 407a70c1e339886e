"""Small random models, so that tests need neither the shipped ones nor a network."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from longclip import checkpoints
from longclip.model import build_model
from longclip.tokenizer_files import save_tokenizer
from longclip.vocabulary import distinct_words, reduce_vocabulary

CORPUS = (
    "A red fox sits beside a small pond under a yellow moon, and three ducks swim past.",
    "Two green boats rest on the sand; the larger one carries a striped sail.",
    "It's a quiet street: a café, a bakery, 12 windows and a cat that doesn't move.",
)


def tiny_config(context_length: int, vocab_size: int) -> dict[str, Any]:
    """An open_clip config of two layers, 64 wide, for pictures of 32 pixels."""
    return {
        "embed_dim": 48,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {
            "context_length": context_length,
            "vocab_size": vocab_size,
            "width": 64,
            "heads": 1,
            "layers": 2,
        },
    }


# What the source of a test holds that compares numbers with a tolerance.
TOLERANCE = re.compile(r"allclose\(|approx\(|assert_close\(|\bEXACT\b|\brounding\(|< ?[\d.]*e-\d|gradcheck")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as `numeric` each test that compares numbers, but for those that need a browser."""
    for item in items:
        if TOLERANCE.search(inspect.getsource(item.function)) and not {"browser", "address"} & set(item.fixturenames):
            item.add_marker(pytest.mark.numeric)


# Milliseconds that a page of the app has for anything.
PATIENCE = 240_000


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A function from a context length to the folder of a random model in our own format; read it, never write to it."""
    made: dict[int, Path] = {}

    def make(context_length: int = 77) -> Path:
        if context_length not in made:
            folder = tmp_path_factory.mktemp(f"tiny-{context_length}") / f"tiny-{context_length}"
            vocab, merges = reduce_vocabulary(CORPUS)
            torch.manual_seed(context_length)
            model = build_model(tiny_config(context_length, len(vocab)))
            checkpoints.write(checkpoints.checkpoint_of(model).cast("fp16"), folder)
            save_tokenizer(folder, vocab, merges, context_length, distinct_words(CORPUS))
            made[context_length] = folder
        return made[context_length]

    return make


@pytest.fixture
def few_words(monkeypatch):
    """The picture book's vocabulary made from a few of its pages, which is fast."""
    _read_few_words(monkeypatch)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> Path:
    """A tiny CLIP of the picture book, trained for six steps; read it, never write to it."""
    from small_runs import CLIP

    from longclip.training.loop import train

    with pytest.MonkeyPatch.context() as patch:
        _read_few_words(patch)
        return train(CLIP, tmp_path_factory.mktemp("tiny-clip"), workers=0, command="test")


def _read_few_words(patch: pytest.MonkeyPatch) -> None:
    from longclip.picturebook import words
    from longclip.training import start

    patch.setattr(start, "all_texts", lambda: words.training_texts("train", 40))
    patch.setattr(start, "training_texts", lambda: words.training_texts("train", 40))


@pytest.fixture(scope="session")
def context():
    """Models and galleries of one running app, shared by its tests: what a test replaces it puts back."""
    from demos.context import Context

    return Context()


@pytest.fixture(scope="session")
def searches(context):
    from demos.retrieval.searches import Searches

    return Searches(context)


@pytest.fixture(scope="session")
def choices(context):
    from demos.retrieval.choices import Choices

    return Choices(context)


@pytest.fixture(scope="module")
def clip(tiny_model_folder):
    """A tiny CLIP of 77 positions."""
    import longclip

    return longclip.load(tiny_model_folder(77))


@pytest.fixture(scope="module")
def long_clip(tiny_model_folder):
    """The same of 248."""
    import longclip

    return longclip.load(tiny_model_folder(248))


@pytest.fixture(scope="session")
def book(context):
    """The gallery that ships with the project."""
    from demos.selection import PICTURE_BOOK

    return context.gallery(PICTURE_BOOK)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app itself, started as a user would, with an empty model cache and no hub."""
    from serving import run_app

    with run_app(tmp_path_factory.mktemp("app")) as app:
        yield app.address
    assert "Traceback" not in app.log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A headless browser."""
    from serving import open_browser

    with open_browser() as browser:
        yield browser


@pytest.fixture
def visit(browser, address) -> Iterator:
    """A function (query, width, height) -> page of the app, not waited for; no error and no outside request in the end."""
    from serving import Log, watch

    logs, pages = [], []

    def open_one(query: str = "", width: int = 1440, height: int = 900):
        page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        page.set_default_timeout(PATIENCE)
        logs.append(watch(page, address))
        pages.append(page)
        page.goto(address + query)
        return page

    yield open_one
    for page in pages:
        page.close()
    assert logs == [Log()] * len(logs)
