"""Work shared by visitors."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from dataclasses import replace

import pytest

from demos import work
from demos.slots import Kind

ALONE = Kind("alone", 1, "the work of others")
# Seconds within which what must happen has happened, on a machine that is busy with other things.
PATIENCE = 60


def until(happened) -> None:
    assert happened.wait(PATIENCE)


@pytest.fixture
def runner() -> work.Runner:
    return work.Runner()


def test_work_that_nobody_waits_for_stops(runner):
    started, stopped = threading.Event(), threading.Event()

    def endless(note):
        started.set()
        try:
            while True:
                note(1, 2)
                stopped.wait(0.01)
        finally:
            stopped.set()

    waiting = runner.follow(("key",), endless, ALONE)
    next(waiting)
    until(started)
    waiting.close()
    until(stopped)
    assert runner.result(("key",), lambda note: 7, ALONE) == 7


def test_work_that_says_nothing_is_interrupted_where_its_kind_allows(runner):
    started, stopped = threading.Event(), threading.Event()

    def silent(note):
        try:
            while not stopped.wait(0.01):
                started.set()
        except CancelledError:
            stopped.set()
            raise

    waiting = runner.follow(("key",), silent, replace(ALONE, interrupted=True))
    next(waiting)
    until(started)
    waiting.close()
    until(stopped)


def test_work_runs_once_and_its_error_reaches_everybody(runner):
    calls = []

    def fail(note):
        calls.append(1)
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            runner.result(("key",), fail, ALONE)
    assert len(calls) == 1


def test_work_that_waits_for_other_work_holds_no_slot(runner):
    """Eight pieces of one kind, each of which asks for another of the same kind, where one runs at a time."""
    begun = threading.Barrier(8)

    def outer(number):
        return lambda note: 1 + runner.result(("inner", number % 2), lambda note: number % 2, ALONE)

    found: dict[int, int] = {}

    def visit(number):
        begun.wait(PATIENCE)
        found[number] = runner.result(("outer", number), outer(number), ALONE)

    threads = [threading.Thread(target=visit, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == {number: 1 + number % 2 for number in range(8)}


def test_so_many_run_as_there_are_slots_and_who_waits_is_told_for_what(runner):
    go, running = threading.Event(), []

    def busy(note):
        running.append(1)
        until(go)
        running.pop()
        return len(running)

    first = runner.follow(("first",), busy, ALONE)
    next(first)
    second = runner.follow(("second",), busy, ALONE)
    other = runner.follow(("other",), lambda note: None, replace(ALONE, name="another"))
    assert list(other)[-1:] == [] or runner.ready(("other",)), "another kind has slots of its own"
    assert next(step.waits_for for step in second if step.waits_for) == "the work of others"
    assert "waiting for the work of others" in work.Progress(waits_for=ALONE.others).text("Drawing")
    go.set()
    assert runner.result(("second",), busy, ALONE) == runner.result(("first",), busy, ALONE) == 0


def test_what_waits_in_line_and_is_left_never_begins(runner):
    go, begun = threading.Event(), []
    first = runner.follow(("first",), lambda note: go.wait(PATIENCE), ALONE)
    next(first)
    left = runner.follow(("left",), lambda note: begun.append("left"), ALONE)
    next(step for step in left if step.waits_for)
    left.close()
    third = runner.follow(("third",), lambda note: begun.append("third"), ALONE)
    next(third)
    go.set()
    assert list(third) is not None and begun == ["third"]


def test_silence_ends_with_a_sentence_and_frees_the_slot(runner, monkeypatch):
    """A download that hangs, and those that wait behind it."""
    hanging, ended = threading.Event(), threading.Event()
    kind = replace(ALONE, silence=0.01, silent="The hub has sent nothing")

    def hang(note):
        try:
            while not ended.wait(0.01):
                hanging.set()
        except CancelledError:
            ended.set()
            raise

    with pytest.raises(TimeoutError, match="has sent nothing"):
        runner.result(("hanging",), hang, kind)
    until(ended)
    assert runner.result(("next",), lambda note: "there", kind) == "there"


def test_the_latest_results_of_a_sort_are_kept(runner):
    for number in range(5):
        runner.result(("sort", number), lambda note: None, ALONE, keep=2)
    runner.result(("kept",), lambda note: None, ALONE)
    assert runner.result(("sort", 4), lambda note: "made anew", ALONE, keep=2) is None
    assert {key for key in runner.names() if key[0] == "sort"} == {("sort", 3), ("sort", 4)} and runner.ready(("kept",))
