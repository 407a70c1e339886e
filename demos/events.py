"""How many of the page's events run at a time: each belongs to a group, and the groups and their sizes are stated here.

In Gradio an event without a stated limit runs one at a time, and so does every other event of its group. What computes has
slots of its own (`demos.work`): a place here is no more than the right to wait and be told how far it is.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

# Forms that are filled, and buttons that stop.
QUICK = "quick"
SEARCH, ENDPOINT = "search", "endpoint"
UPLOAD, PLACE, SAVE = "upload", "place", "save"
EXPLAIN, MAPS, EVALUATE, DRAW, TRAIN = "explain", "maps", "evaluate", "draw", "train"
LIMITS = {
    QUICK: 24,
    SEARCH: 16,
    ENDPOINT: 4,
    UPLOAD: 12,
    PLACE: 8,
    SAVE: 4,
    EXPLAIN: 12,
    MAPS: 12,
    EVALUATE: 12,
    DRAW: 12,
    TRAIN: 12,
}
# Threads that serve events: one for each place, so that no group takes those of another.
THREADS = sum(LIMITS.values())


def private(group: str = QUICK, **others: Any) -> dict[str, Any]:
    """Options of an event of a group, which is no endpoint for programs and shows no progress of Gradio's own."""
    return {
        "api_visibility": "private",
        "show_progress": "hidden",
        "concurrency_id": group,
        "concurrency_limit": LIMITS[group],
        **others,
    }


def check_events(page: gr.Blocks) -> None:
    """Raises ValueError for events that run in Python without the stated limit of one of the groups."""
    unstated = sorted(
        {
            f"{function.name} ({function.concurrency_id}, {function.concurrency_limit})"
            for function in page.fns.values()
            if function.fn is not None and LIMITS.get(function.concurrency_id) != function.concurrency_limit
        }
    )
    if unstated:
        raise ValueError(f"events without a group of demos.events: {', '.join(unstated)}")
