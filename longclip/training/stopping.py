"""How long work is asked to end, and ends: by signals, in the main process and in those that prepare its data."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Seconds from SIGTERM to the end of a worker, for the step under way: the main process takes a worker's death for a fault.
LINGER = 600


class Interrupted(Exception):
    """A run that was asked to end before its last step; its state is saved."""


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM has come; a second Ctrl-C interrupts at once. Signals reach the main thread alone."""
    came: list[int] = []

    def note(number: int, frame) -> None:
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        came.append(number)

    if current_thread() is not main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow_parent(number: int) -> None:
    """In a worker: signals are the main process's to answer, and where that is killed, the worker ends as well.

    A scheduler may send SIGTERM to all processes of a job: the worker then goes on for as long as a step may take, as the
    main process would take its death for a fault.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(LINGER))  # what the alarm does is to kill
    if sys.platform == "linux":
        # A worker that waits to hand over a batch would never notice that nobody takes it any more.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
