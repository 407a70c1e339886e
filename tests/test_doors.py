"""Ways between tabs, and whose turn it is."""

from __future__ import annotations

import gradio as gr

from demos.context import Context
from demos.doors import Doors
from demos.requests import SESSIONS, Requests


def test_only_tabs_that_are_there_can_be_opened():
    context = Context()
    with gr.Blocks(), gr.Tabs() as tabs, gr.Tab("Search", id="retrieval") as tab, gr.Column(), gr.Column() as column:
        doors = Doors(context, column)
        assert doors.tab() is tab and doors.tabs() is tabs and doors.hits() == ()
    context.tabs = ("retrieval", "maps")
    assert doors.hits() == ("maps",) and doors.open("maps").selected == "maps"
    assert doors.open("draw") == doors.open("<b>") == doors.open("") == gr.skip()


def test_turns_are_a_visitors_own():
    class Visitor:
        def __init__(self, name: str) -> None:
            self.session_hash = name

    turns = Requests()
    first, other = turns.begin(Visitor("a")), turns.begin(Visitor("b"))
    second = turns.begin(Visitor("a"))
    assert not turns.is_current(first) and turns.is_current(second) and turns.is_current(other)
    assert turns.latest(Visitor("a")) == second and turns.is_current(turns.begin(None)) and turns.is_current(("", 0))
    for number in range(SESSIONS):
        turns.begin(Visitor(str(number)))
    assert turns.is_current(turns.begin(Visitor("a")))
