"""What a run writes down beside its states: the figures of its steps, each step once, and that the folder is in use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from torch.utils.tensorboard import SummaryWriter

LOG, BOARD, LOCK = "log.jsonl", "tensorboard", ".lock"


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """The folder for this process alone, until the end of the block or of the process.

    Raises ValueError where another process trains into it, and where it cannot be written.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ValueError(f"another run is writing to {folder}: wait for its end, or choose another folder (--out)") from None
    except OSError as error:
        what = "is a file" if folder.is_file() else f"cannot be written ({error.strerror or error})"
        raise ValueError(f"{folder} {what}: wanted a folder for the run (--out)") from None
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def forget(log: Path, step: int) -> None:
    """Drop the rows of steps after `step` from a log of JSON lines, and a last row that was cut off in writing.

    A run that was killed goes on from its last state, and takes the steps after that again.
    """
    if not log.is_file():
        return
    lines = log.read_text("utf-8", "replace").splitlines()
    kept = [line for line in lines if _step_of(line) <= step]
    if kept != lines or lines and not log.read_bytes().endswith(b"\n"):
        new = log.with_name(log.name + ".new")
        new.write_text("".join(line + "\n" for line in kept), "utf-8")
        os.replace(new, log)


@contextmanager
def journal(folder: Path, step: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that writes the figures of a step, `step` among them, to `log.jsonl` and for TensorBoard.

    step: where the run stands; what an earlier part of it wrote of later steps is dropped, by TensorBoard when it reads.
    """
    forget(folder / LOG, step)
    with (
        (folder / LOG).open("a", encoding="utf-8") as log,
        SummaryWriter(str(folder / BOARD), purge_step=step + 1) as board,
    ):

        def write(row: dict[str, float]) -> None:
            log.write(json.dumps(row) + "\n")
            log.flush()
            for name, value in row.items():
                board.add_scalar(name.replace("@", " at "), value, row["step"])

        yield write


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, LookupError, TypeError):
        return float("inf")
