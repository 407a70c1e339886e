"""Long work shared by visitors: each piece runs once, in the background, and stops when nobody waits for it any more."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

Note = Callable[[int, int], None]
"""Called by the work with how much is done and how much there is in all (0 where unknown)."""

# Seconds between two looks at whether a job is done, and for which a failed one is not tried again.
LOOK, RETRY_AFTER = 0.1, 20.0
WORKERS = 8


@dataclass(eq=False)
class Job:
    """A piece of work: what it returns, how far it is, and how many wait for it."""

    future: Future[Any] = field(default_factory=Future)
    done: int = 0
    total: int = 0
    waiting: int = 0
    failed_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether it failed, and long enough ago to be tried again."""
        return self.failed_at is not None and time.monotonic() - self.failed_at > RETRY_AFTER


class Jobs:
    """Jobs by key; the results stay until they are forgotten."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="jobs")

    def follow(self, key: Hashable, work: Callable[[Note], Any]) -> Iterator[tuple[int, int]]:
        """Starts the work, or joins what runs; yields (done, all) until it is over. Then ask `result`.

        Closing the iterator early stops the work unless somebody else follows it: its next `note` does not return.
        """
        job = self._join(key, work)
        try:
            while not job.future.done():
                yield job.done, job.total
                _wait(job.future)
        finally:
            with self._lock:
                job.waiting -= 1

    def result(self, key: Hashable, work: Callable[[Note], Any]) -> Any:
        """What the work returned, waited for; raises what it raised."""
        for _ in self.follow(key, work):
            pass
        with self._lock:
            job = self._jobs.get(key)
        return self.result(key, work) if job is None or not job.future.done() else job.future.result()

    def ready(self, key: Hashable) -> bool:
        """Whether the result is there."""
        with self._lock:
            job = self._jobs.get(key)
        return job is not None and job.future.done() and job.failed_at is None

    def names(self) -> list[Hashable]:
        """The keys of all jobs, the least recently asked for first."""
        with self._lock:
            return list(self._jobs)

    def forget(self, key: Hashable) -> None:
        """Lets go of a result."""
        with self._lock:
            self._jobs.pop(key, None)

    def _join(self, key: Hashable, work: Callable[[Note], Any]) -> Job:
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.over:
                job = self._jobs[key] = Job()
                self._pool.submit(self._run, key, job, work)
            self._jobs.move_to_end(key)
            job.waiting += 1
            return job

    def _run(self, key: Hashable, job: Job, work: Callable[[Note], Any]) -> None:
        def note(done: int, total: int) -> None:
            job.done, job.total = done, total
            with self._lock:
                if job.waiting == 0:
                    # Gone from the list at once: whoever comes now starts anew.
                    self._jobs.pop(key, None)
                    raise CancelledError

        try:
            result = work(note)
        except BaseException as error:  # handed to whoever waits
            job.failed_at = time.monotonic()
            job.future.set_exception(error)
        else:
            job.future.set_result(result)


def _wait(future: Future[Any]) -> None:
    with suppress(TimeoutError):
        future.exception(LOOK)
