"""What one visitor may keep of what all share: who has most gives way first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping

import gradio as gr


def visitor(request: gr.Request | None) -> str:
    """Who asks, as far as that can be told: the address of the machine, or else the visit."""
    client = getattr(request, "client", None)
    return getattr(client, "host", None) or getattr(request, "session_hash", None) or ""


def excess(kept: Mapping[Hashable, tuple[str, float]], each: int, total: int) -> list[Hashable]:
    """The keys that must go, of what is kept as (owner, when it was last used).

    Of an owner with more than `each` the oldest; then, while there are more than `total`, the oldest of who has most.
    """
    left = dict(sorted(kept.items(), key=lambda item: item[1][1]))
    counts = Counter(owner for owner, _ in left.values())
    gone: list[Hashable] = []
    for key, (owner, _) in list(left.items()):
        if counts[owner] > each:
            counts[owner] -= 1
            gone.append(key)
            del left[key]
    while len(left) > total:
        most = max(counts.values())
        key = next(key for key, (owner, _) in left.items() if counts[owner] == most)
        counts[left.pop(key)[0]] -= 1
        gone.append(key)
    return gone
