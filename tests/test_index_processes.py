"""Galleries on disk made by processes of their own: killed and gone on, at once, and with a worker that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from small_galleries import MEAN, files, fill, write_shard

import longclip
from longclip.index import StoredGallery, make_gallery
from longclip.index.plan import read_plan

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def encoder(tiny_model_folder) -> longclip.Encoder:
    return longclip.load(tiny_model_folder(77))


WORK = """
import sys
import longclip
from longclip.index import make_gallery
encoder = longclip.load(sys.argv[1])
features, calls = encoder.image_features, open(sys.argv[4], "a")
def allowed(pixels):
    sys.stdin.readline()
    calls.write(f"{len(pixels)}\\n"), calls.flush()
    return features(pixels)
encoder.image_features = allowed
print("ready", flush=True)
sys.stdin.readline()
make_gallery(sys.argv[2], sys.argv[3], [encoder], mean=8)
"""


def start(model: Path, source: object, folder: Path, calls: Path, **environment: str) -> subprocess.Popen:
    """A process that has loaded the model, or soon has, begins to index once it is told to `go`, and encodes what it may."""
    arguments = [sys.executable, "-c", WORK, str(model), str(source), str(folder), str(calls)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(arguments, cwd=ROOT, env=os.environ | environment, **pipes)
    STARTED.append(process)
    return process


ALL = 1000
STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """Ends what a failed test has left running."""
    yield
    for process in STARTED:
        process.kill()
        process.wait()
    STARTED.clear()


def go(*processes: subprocess.Popen, batches: int = ALL) -> None:
    """Let these processes begin, each with leave to encode so many batches; at the next one it waits."""
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        process.stdin.write(b"\n")
    allow(*processes, batches=batches)


def allow(*processes: subprocess.Popen, batches: int = ALL) -> None:
    """Give these processes leave to encode so many batches more."""
    for process in processes:
        process.stdin.write(b"\n" * batches)
        process.stdin.flush()


def wait_until(seen: Callable[[], bool], *processes: subprocess.Popen) -> None:
    """Until this is so, or one of the processes is over."""
    while not seen() and all(process.poll() is None for process in processes):
        time.sleep(0.005)


def end(process: subprocess.Popen) -> int:
    """Its exit code, once it is over."""
    try:
        process.communicate()
    finally:
        process.kill()
    return process.returncode


def encoded(calls: Path) -> int:
    return sum(map(int, calls.read_text().split())) if calls.exists() else 0


@pytest.mark.slow
def test_killed_three_times_and_gone_on(tmp_path, tiny_model_folder, encoder):
    source, folder, calls = fill(tmp_path / "pictures", 120, captions=True), tmp_path / "gallery", tmp_path / "calls"
    make_gallery(str(source), tmp_path / "whole", [encoder], mean=MEAN)
    processes = [start(tiny_model_folder(77), source, folder, calls) for _ in range(4)]

    def made() -> int:
        return len(list((folder / "vectors").rglob("*.safetensors")))

    for process in processes[:3]:
        before = made()
        go(process, batches=3)
        wait_until(lambda before=before: made() > before, process)
        time.sleep(np.random.default_rng().uniform(0, 0.02))  # at any moment of what follows the first part
        process.kill()
        assert end(process) == -signal.SIGKILL
    assert 0 < made() < len(read_plan(folder).parts)
    go(processes[3])
    assert end(processes[3]) == 0
    assert files(folder) == files(tmp_path / "whole"), "the same files, to the bit"
    assert 120 <= encoded(calls) <= 120 + 3 * 2 * MEAN, "what was whole is not made again"


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path, tiny_model_folder, encoder):
    source, folder = fill(tmp_path / "pictures", 120), tmp_path / "gallery"
    make_gallery(str(source), tmp_path / "whole", [encoder], mean=MEAN)
    processes = [start(tiny_model_folder(77), source, folder, tmp_path / f"calls-{number}") for number in range(2)]
    go(*processes, batches=1)
    wait_until(lambda: all(encoded(tmp_path / f"calls-{number}") for number in range(2)), *processes)
    allow(*processes)
    assert [end(process) for process in processes] == [0, 0]
    counts = [encoded(tmp_path / f"calls-{number}") for number in range(2)]
    assert sum(counts) == 120 and min(counts) > 0
    assert files(folder) == files(tmp_path / "whole")
    assert read_plan(folder) == read_plan(tmp_path / "whole")


@pytest.mark.slow
def test_shards_are_done_once_though_a_worker_dies(tmp_path, tiny_model_folder, encoder):
    source, folder = tmp_path / "shards", tmp_path / "gallery"
    source.mkdir()
    for number in range(6):
        write_shard(source / f"{number:03d}.tar", range(16 * number, 16 * number + 16))
    environments = [{"RANK": str(rank), "WORLD_SIZE": "2"} for rank in range(2)]
    calls = [tmp_path / f"calls-{rank}" for rank in range(2)]
    workers = [
        start(tiny_model_folder(77), source, folder, file, **environment)
        for file, environment in zip(calls, environments, strict=True)
    ]
    go(workers[0])
    go(workers[1], batches=1)
    wait_until(lambda: encoded(calls[1]) > 0, workers[1])
    workers[1].kill()
    assert end(workers[1]) == -signal.SIGKILL and end(workers[0]) == 0
    vectors = StoredGallery(folder).vectors(encoder)
    assert len(vectors) == 96 and not vectors.missing and not np.isnan(vectors.joined()).any()
    total = sum(map(encoded, calls))
    assert 96 <= total <= 96 + 2 * MEAN, "but for the part that the dead worker was at, nothing is done twice"
