"""How many of the page's events run at a time: every one is stated, and nothing that works runs alone."""

from __future__ import annotations

import gradio as gr
import pytest

import app
from demos import events
from demos.context import Context


@pytest.fixture(scope="module", params=[True, False])
def page(request) -> gr.Blocks:
    return app.build(Context(public=request.param, fine_tune=True))


def test_every_event_has_a_stated_limit_and_none_runs_alone(page):
    """Of the config that the browser gets too, not only of what the helper was told."""
    limits: dict[str, set] = {}
    for function in page.fns.values():
        if function.fn is not None:
            limits.setdefault(function.concurrency_id, set()).add(function.concurrency_limit)
    assert limits and all(len(stated) == 1 for stated in limits.values())
    assert all(limit.pop() > 1 for limit in limits.values())
    assert set(limits) <= set(events.LIMITS)
    assert sum(events.LIMITS.values()) <= events.THREADS, "one group could take the threads of another"


def test_the_groups_are_as_large_as_stated_once_they_run(page):
    """As Gradio counts them: the least limit of any event pulls down its whole group."""
    for function in page.fns.values():
        if function.fn is not None and function.queue:
            page._queue.create_event_queue_for_fn(function)
    queues = page._queue.event_queue_per_concurrency_id
    assert {name: queue.concurrency_limit for name, queue in queues.items()} == {name: events.LIMITS[name] for name in queues}


def test_an_event_without_a_group_is_refused():
    with gr.Blocks() as page:
        button = gr.Button()
        button.click(lambda: None, concurrency_id=events.SEARCH)
    with pytest.raises(ValueError, match=r"events without a group .* \(search, default\)"):
        events.check_events(page)
