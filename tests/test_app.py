"""The app as a whole, without a browser: its endpoints through the client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr
import pytest
from gradio_client import Client

import app
from demos.context import Context


@contextmanager
def served(context: Context) -> Iterator[Client]:
    page = app.build(context)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, server_port=None, run_history=False, ssr_mode=False)
    yield Client(address, verbose=False)
    page.close()


@pytest.fixture(scope="module")
def client(context) -> Iterator[Client]:
    with served(context) as client:
        yield client


def test_the_search_endpoint_ranks_pictures(client, book):
    rows = client.predict(book.captions[2], "picturebook-longclip", 5, api_name="/search")
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert set(rows[0]) == {"id", "rank", "cosine", "caption", "right"}


def test_a_bad_call_of_the_endpoint_is_an_error_with_a_sentence(client):
    with pytest.raises(Exception, match="Write a caption first"):
        client.predict("", "picturebook-longclip", 5, api_name="/search")
    with pytest.raises(Exception, match="not among the models"):
        client.predict("a fox", "/etc/none", 5, api_name="/search")


def test_only_the_useful_endpoint_is_public(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/search"]


def test_a_public_page_takes_no_other_models():
    with served(Context(public=True)) as client, pytest.raises(Exception, match="not among the models of this page"):
        client.predict("a fox", "/etc/passwd", 5, api_name="/search")


@pytest.mark.parametrize("public", [True, False])
def test_models_are_typed_where_that_is_allowed(public):
    page = app.build(Context(public=public))
    pickers = [block for block in page.blocks.values() if block.elem_id in ("left-model", "right-model")]
    assert [picker.allow_custom_value for picker in pickers] == [not public] * 2
    header = next(block.value for block in page.blocks.values() if isinstance(block, gr.HTML))
    assert ("hf-hub:" in header) != public


def test_the_context_knows_the_tabs(client, context):
    assert context.tabs == tuple(module.NAME for module in app.TABS) and len(set(context.tabs)) == len(app.TABS)
