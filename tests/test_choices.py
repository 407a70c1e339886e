"""What fills the form: examples, cards that are clicked, links."""

from __future__ import annotations

import gradio as gr
import pytest
from forms import PAIR, form

from demos.examples import EXAMPLES, KINDS, example_row, rows_of_kind
from demos.retrieval.ranking import look_alikes
from demos.selection import TO_PICTURES


def test_examples_and_cards_fill_the_form(book, choices):
    for number, example in enumerate(EXAMPLES):
        selection, caption, *_ = choices.pick_example(number, *form("typed"))
        row = book.index(selection.picture)
        assert caption == (book.short_captions if example.short else book.captions)[row]
    selection, caption, *_ = choices.pick(*form("typed"), gr.EventData(None, {"pick": book.ids[9]}))
    assert (selection.picture, caption) == (book.ids[9], book.captions[9])
    selection, caption, *_ = choices.pick(*form("typed"), gr.EventData(None, {"pick": "../../etc/passwd"}))
    assert (selection.picture, caption) == (None, "typed")


def test_late_families_share_what_clip_reads(book, context):
    row = example_row(book, EXAMPLES[0])
    alike = [i for i in rows_of_kind(book, EXAMPLES[0].kind) if book.metadata[i]["family"] == book.metadata[row]["family"]]
    ids = {context.encoder(PAIR[0]).tokenize(book.captions[i]).ids for i in alike}
    assert len(alike) == 8 and len(ids) == 1
    assert set(alike) - {row} <= look_alikes(book, row)


def test_scenes_can_be_browsed(choices):
    for kind in KINDS:
        assert choices.browse(kind).count("<img") == 24


def test_nonsense_in_an_address_is_ignored(choices):
    class Request:
        query_params = {"left": "<b>", "right": "x" * 9999, "picture": "../..", "search": "?", "caption": "y" * 9999}

    selection = choices.open_link(Request())[0]
    assert selection.models == PAIR and selection.caption and selection.search == TO_PICTURES


@pytest.mark.parametrize("name", ["openai/ViT-L-14", "hf-hub:owner/name@v1"])
def test_a_link_fetches_no_model(choices, monkeypatch, name):
    class Request:
        query_params = {"left": name, "right": PAIR[1]}

    def fetch(*args, **kwargs):
        raise AssertionError("a link fetched a model")

    monkeypatch.setattr("longclip.hub.fetch", fetch)
    found = choices.open_link(Request())
    assert found[0].models == PAIR and name not in (found[-4], found[-3])
    assert f"The link names {name}" in found[-2] and "The link names" not in found[-1]
