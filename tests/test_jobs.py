"""Work shared by visitors."""

from __future__ import annotations

import threading

import pytest

from demos import jobs


def test_work_that_nobody_waits_for_stops():
    started, stopped = threading.Event(), threading.Event()

    def work(note):
        started.set()
        try:
            while True:
                note(1, 2)
                stopped.wait(0.01)
        finally:
            stopped.set()

    shared = jobs.Jobs()
    waiting = shared.follow("key", work)
    next(waiting)
    assert started.wait(200)
    waiting.close()
    assert stopped.wait(200)
    assert shared.result("key", lambda note: 7) == 7


def test_work_runs_once_and_its_error_reaches_everybody():
    calls = []

    def work(note):
        calls.append(1)
        raise ValueError("no")

    shared = jobs.Jobs()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            shared.result("key", work)
    assert len(calls) == 1
