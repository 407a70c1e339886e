"""Which of a visitor's pieces of work is the latest: an older one that is still under way ends by itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gradio as gr

# Visitors whose latest request is remembered.
SESSIONS = 2000


class Requests:
    """Requests by visitor. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def begin(self, request: gr.Request | None) -> tuple[str, int]:
        """A new request of a visitor, which makes all earlier ones stale."""
        session = getattr(request, "session_hash", None) or ""
        with self._lock:
            turn = self._turns.pop(session, 0) + 1
            self._turns[session] = turn
            while len(self._turns) > SESSIONS:
                self._turns.popitem(last=False)
        return session, turn

    def latest(self, request: gr.Request | None) -> tuple[str, int]:
        """A visitor's latest request, which work that follows it belongs to."""
        session = getattr(request, "session_hash", None) or ""
        with self._lock:
            return session, self._turns.get(session, 0)

    def is_current(self, turn: tuple[str, int]) -> bool:
        """Whether no later request of the same visitor has begun; without a session there is nothing to tell by."""
        session, number = turn
        return not session or self._turns.get(session, number) == number


def news(steps: Iterable[tuple[str, Any]], wanted: Callable[[], bool]) -> Iterator[tuple[str, Any]]:
    """Steps (what is said, what is new or None) that show something new, for as long as they are wanted.

    A page shows what it is sent one after the other: steps that say the same would pile up before those that do not.
    """
    before = None
    for said, new in steps:
        if not wanted():
            return
        if new is not None or said != before:
            yield said, new
        before = said
