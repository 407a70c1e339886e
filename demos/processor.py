"""Threads that let others go first, and threads that must end."""

from __future__ import annotations

import ctypes
import os
import sys
from concurrent.futures import CancelledError
from contextlib import suppress
from threading import get_native_id

# How much less than a search a thread counts when both want the processor (Linux).
NICENESS = 10


def give_way() -> None:
    """Lets searches go first: this thread, and those it starts, count less with the scheduler (on Linux)."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)


def interrupt(thread: int) -> None:
    """Raises CancelledError in a thread, given by its `threading.get_ident`, as soon as it runs Python again."""
    if thread:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(CancelledError))
