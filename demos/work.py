"""Long work, shared by visitors: each piece runs once, in the background, and stops when nobody waits for it any more.

Every piece is of a kind, and each kind has slots: so many of its pieces run at a time, the others wait and say for what. A
piece that waits for another one holds no slot meanwhile, so that pieces within pieces cannot wait for each other for ever.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from threading import Lock, Thread, get_ident, local
from typing import Any

from demos.processor import give_way, interrupt
from demos.slots import Kind, Slots

Note = Callable[..., None]
"""Called by the work with how much is done, how much there is in all (0 where unknown), and perhaps something to show."""
Key = tuple[Any, ...]
"""What a piece of work is of; the first part names what results of its sort are kept together."""

# Seconds between two looks at whether a piece is done, and for which a failed one is not tried again.
LOOK, RETRY_AFTER = 0.1, 20.0
# Seconds after each step in which whoever computes for a page that waits may come first.
PAUSE = 0.003


@dataclass(frozen=True)
class Progress:
    """How far a piece is: what is done and all (0 where unknown), what it waits for, and what it has shown last."""

    done: int = 0
    total: int = 0
    waits_for: str = ""
    shown: Any = None

    @property
    def share(self) -> float | None:
        """The share that is done, None where that is unknown."""
        return self.done / self.total if self.total else None

    def text(self, doing: str) -> str:
        """What is being done, or what is waited for first."""
        return f"{doing}: waiting for {self.waits_for}" if self.waits_for else doing


@dataclass(eq=False)
class Piece:
    """A piece of work: what it returns, how far it is, and how many wait for it."""

    kind: Kind
    lock: Lock
    future: Future[Any] = field(default_factory=Future)
    done: int = 0
    total: int = 0
    shown: Any = None
    waiting: int = 0
    in_line: bool = False
    failed_at: float | None = None
    heard: float = field(default_factory=time.monotonic)
    thread: int = 0
    left: bool = False

    @property
    def over(self) -> bool:
        """Whether it failed, and long enough ago to be tried again."""
        return self.failed_at is not None and time.monotonic() - self.failed_at > RETRY_AFTER

    @property
    def progress(self) -> Progress:
        return Progress(self.done, self.total, self.kind.others if self.in_line else "", self.shown)

    def check(self) -> None:
        """Raises CancelledError where nobody waits any more, or its time is over."""
        with self.lock:
            self.left = self.left or self.waiting == 0
        if self.left or self.future.done():
            raise CancelledError

    def end_if_silent(self) -> None:
        """Gives it up where it has not been heard of for as long as its kind allows."""
        limit = self.kind.silence
        arrived = 0 < self.total <= self.done
        if limit and not (arrived or self.in_line or self.future.done()) and time.monotonic() - self.heard > limit:
            self.failed_at = time.monotonic()
            with suppress(InvalidStateError):
                self.future.set_exception(TimeoutError(self.kind.silent))
            interrupt(self.thread)


class Runner:
    """Pieces of work by key; the results stay until they are forgotten. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._pieces: OrderedDict[Key, Piece] = OrderedDict()
        self._lock = Lock()
        self._slots = Slots()
        self._here = local()

    def follow(self, key: Key, work: Callable[[Note], Any], kind: Kind, keep: int | None = None) -> Iterator[Progress]:
        """Starts the work, or joins what runs; yields until it is over. Then ask `result`.

        keep: how many results of the sort ``key[0]`` are kept, the latest ones. Closing the iterator early stops the work,
        unless somebody else follows it: its next note does not return.
        """
        own = getattr(self._here, "piece", None)
        piece = self._join(key, work, kind, keep)
        try:
            if not piece.future.done():
                with self._slots.lent(own) if own else nullcontext():
                    while not piece.future.done():
                        yield piece.progress
                        _wait(piece.future)
                        piece.end_if_silent()
                        if own is not None:
                            own.check()
        finally:
            with self._lock:
                piece.waiting -= 1
                piece.left = piece.left or (piece.waiting == 0 and kind.interrupted)
                if piece.left and not piece.future.done():
                    interrupt(piece.thread)

    def result(self, key: Key, work: Callable[[Note], Any], kind: Kind, keep: int | None = None) -> Any:
        """What the work returned, waited for; raises what it raised."""
        with self._lock:
            known = self._pieces.get(key)
            if known is not None and known.future.done() and not known.over:
                self._pieces.move_to_end(key)
                return known.future.result()
        for _ in self.follow(key, work, kind, keep):
            pass
        with self._lock:
            piece = self._pieces.get(key)
        return self.result(key, work, kind, keep) if piece is None or not piece.future.done() else piece.future.result()

    def ready(self, key: Key) -> bool:
        """Whether the result is there."""
        with self._lock:
            piece = self._pieces.get(key)
        return piece is not None and piece.future.done() and piece.failed_at is None

    def names(self) -> list[Key]:
        """The keys of all pieces, the least recently asked for first."""
        with self._lock:
            return list(self._pieces)

    def forget(self, key: Key) -> None:
        """Lets go of a result."""
        with self._lock:
            self._pieces.pop(key, None)

    def check(self) -> None:
        """Within a piece of work: raises CancelledError where nobody waits for it any more, and lets others go first."""
        if (piece := getattr(self._here, "piece", None)) is not None:
            piece.check()
            time.sleep(PAUSE)

    def _join(self, key: Key, work: Callable[[Note], Any], kind: Kind, keep: int | None) -> Piece:
        with self._lock:
            piece = self._pieces.get(key)
            if piece is None or piece.over or piece.left:
                piece = self._pieces[key] = Piece(kind, self._lock, waiting=1)
                Thread(target=self._run, args=(key, piece, work, keep), daemon=True, name=kind.name).start()
            else:
                self._pieces.move_to_end(key)
                piece.waiting += 1
            return piece

    def _run(self, key: Key, piece: Piece, work: Callable[[Note], Any], keep: int | None) -> None:
        def note(done: int, total: int, shown: Any = None) -> None:
            piece.check()
            piece.heard = time.monotonic()
            piece.done, piece.total = done, total
            piece.shown = piece.shown if shown is None else shown
            if kind.background:
                time.sleep(PAUSE)

        kind = piece.kind
        self._here.piece = piece
        if kind.background:
            give_way()
        # Whoever is interrupted at the last moment has nothing left to say.
        with suppress(CancelledError):
            try:
                with self._slots.taken(piece):
                    piece.heard, piece.thread = time.monotonic(), get_ident()
                    try:
                        result = work(note)
                    finally:
                        piece.thread = 0
            except BaseException as error:  # handed to whoever waits
                self._end(key, piece, error)
            else:
                if keep is not None:
                    self._drop(key[0], keep - 1)
                with suppress(InvalidStateError):  # its time was over: whoever waited has been told
                    piece.future.set_result(result)

    def _end(self, key: Key, piece: Piece, error: BaseException) -> None:
        with self._lock:
            if piece.left and self._pieces.get(key) is piece:
                del self._pieces[key]
        piece.failed_at = time.monotonic()
        with suppress(InvalidStateError):
            piece.future.set_exception(error)

    def _drop(self, sort: Any, keep: int) -> None:
        """Lets go of results of a sort but for the latest: one is about to come."""
        with self._lock:
            done = [key for key, piece in self._pieces.items() if key[0] == sort and piece.future.done()]
            for key in done[: max(0, len(done) - keep)]:
                del self._pieces[key]


def _wait(future: Future[Any]) -> None:
    with suppress(TimeoutError, CancelledError):
        future.exception(LOOK)
