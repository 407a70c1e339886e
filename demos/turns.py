"""Which of a visitor's requests is the latest: those before it have nothing to show any more, and stop."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio import Request

# Visitors whose latest request is remembered.
SESSIONS = 2000

Turn = tuple[str, int]


class Turns:
    """Requests by visitor, counted. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def begin(self, request: Request | None) -> Turn:
        """A new request of a visitor, which ends the turn of those before it; one from nowhere ends nobody's."""
        session = getattr(request, "session_hash", None) or ""
        with self._lock:
            number = self._turns.pop(session, 0) + 1
            self._turns[session] = number
            while len(self._turns) > SESSIONS:
                self._turns.popitem(last=False)
        return session, number

    def is_current(self, turn: Turn) -> bool:
        """Whether the visitor has asked for nothing since."""
        session, number = turn
        return not session or self._turns.get(session, number) == number
