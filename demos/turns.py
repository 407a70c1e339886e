"""Which of a visitor's pieces of work is the latest: an older one that is still under way ends by itself."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr

# Visitors whose latest turn is remembered.
SESSIONS = 2000


class Turns:
    """Turns by visitor. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def begin(self, request: gr.Request | None) -> tuple[str, int]:
        """A new turn of a visitor, which makes all earlier ones stale."""
        session = getattr(request, "session_hash", None) or ""
        with self._lock:
            turn = self._turns.pop(session, 0) + 1
            self._turns[session] = turn
            while len(self._turns) > SESSIONS:
                self._turns.popitem(last=False)
        return session, turn

    def latest(self, request: gr.Request | None) -> tuple[str, int]:
        """A visitor's latest turn, which work that follows it belongs to."""
        session = getattr(request, "session_hash", None) or ""
        with self._lock:
            return session, self._turns.get(session, 0)

    def is_current(self, turn: tuple[str, int]) -> bool:
        """Whether no later turn of the same visitor has begun; without a session there is nothing to tell by."""
        session, number = turn
        return not session or self._turns.get(session, number) == number
