"""Kinds of long work, and how many pieces of each run at a time."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Condition
from typing import Any

# Seconds between two looks at whether a piece in line is still wanted.
LOOK = 0.1


@dataclass(frozen=True)
class Kind:
    """A kind of work. others: what its pieces are to who waits for a slot. background: whether searches go first.

    interrupted: whether a piece that is left is ended where it stands, rather than at its next note.
    silence: seconds without a note after which a piece is given up, with the sentence `silent`; 0 for none.
    """

    name: str
    slots: int
    others: str
    background: bool = True
    interrupted: bool = False
    silence: float = 0.0
    silent: str = ""


DOWNLOAD = Kind(
    "download",
    6,
    "other downloads",
    background=False,
    silence=90.0,
    silent="The hub has sent nothing for a while: try again later (what has arrived is kept)",
)
LOAD = Kind("load", 2, "other models to be loaded", background=False)
UPLOAD = Kind("upload", 2, "pictures that others have added")
EMBED = Kind("embed", 2, "other galleries to be read")
EXPLAIN = Kind("explain", 2, "explanations for others")
READ = Kind("read", 2, "data of others to be read", interrupted=True)
MAP = Kind("map", 2, "maps for others")
MEASURE = Kind("measure", 1, "measurements for others", interrupted=True)
DRAW = Kind("draw", 1, "drawings for others")


class Slots:
    """Who has a slot of each kind, and who is in line for one; the first come goes first."""

    def __init__(self) -> None:
        self._taken: defaultdict[Kind, set[Any]] = defaultdict(set)
        self._lines: defaultdict[Kind, deque[Any]] = defaultdict(deque)
        self._changed = Condition()

    @contextmanager
    def taken(self, piece: Any) -> Iterator[None]:
        """Holds a slot for a piece, once there is one. Raises what ``piece.check()`` does while it is in line."""
        self._take(piece)
        try:
            yield
        finally:
            self.give_up(piece)

    @contextmanager
    def lent(self, piece: Any) -> Iterator[None]:
        """Gives back a piece's slot, and takes one again in the end: before others, as it had begun before them."""
        self.give_up(piece)
        try:
            yield
        finally:
            self._take(piece, first=True)

    def give_up(self, piece: Any) -> None:
        """Gives back a piece's slot, if it has one."""
        with self._changed:
            self._taken[piece.kind].discard(piece)
            self._changed.notify_all()

    def _take(self, piece: Any, first: bool = False) -> None:
        taken, line = self._taken[piece.kind], self._lines[piece.kind]
        with self._changed:
            line.appendleft(piece) if first else line.append(piece)
            try:
                while line[0] is not piece or len(taken) >= piece.kind.slots:
                    piece.in_line = True
                    self._changed.wait(LOOK)
                    piece.check()
                    for other in list(taken):
                        other.end_if_silent()
                        if other.future.done():
                            taken.discard(other)
                taken.add(piece)
            finally:
                piece.in_line = False
                with suppress(ValueError):
                    line.remove(piece)
                self._changed.notify_all()
