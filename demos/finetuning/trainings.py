"""Training in the background: one run at a time on this machine, which ends when its visitor stops it or leaves."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread, get_native_id
from weakref import WeakSet

from demos.finetuning.plan import command_line, sentence
from longclip.training.preview import Preview, Warned
from longclip.training.recipe import Recipe

log = logging.getLogger(__name__)

# Validations over a run, and steps of warm-up: a tenth of them, within these bounds, and at most half. AdamW's first steps,
# taken before it knows the size of the gradients, would undo what the base knows.
VALIDATIONS, SHORTEST_WARMUP, LONGEST_WARMUP = 12, 20, 50
# Share of the time that validations leave to training.
TRAINING_SHARE = 0.93
# Seconds after which a run that nobody watches ends, and between two steps, in which others may compute.
PATIENCE, PAUSE = 20.0, 0.005
# How much less than a search a run counts when both want the processor (Linux).
NICENESS = 10
# Neither is part of a model.
_SCRAPS = ("state-*.pt", "tensorboard")


class Busy(RuntimeError):
    """A machine that trains already; the message is one sentence for the visitor."""


class _Left(Exception):
    """Nobody waits for the model any more."""


@dataclass(eq=False)
class Training:
    """A run: what is done, and in the end its folder, or why there is none. `warnings` say why it may learn little.

    `rows` are (step, figures) of each step; `before`, `stretched` and `after` are recall by name, of the base, of the base
    with its positions stretched, and of the model in the end. `session` is whose it is.
    """

    recipe: Recipe
    seconds: float
    session: str
    phase: str = "Measuring the base"
    step: int = 0
    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    before: dict[str, float] = field(default_factory=dict)
    stretched: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    warnings: Sequence[Warned] = ()
    place: TemporaryDirectory = field(default_factory=lambda: TemporaryDirectory("", "longclip-", ignore_cleanup_errors=True))
    over: Event = field(default_factory=Event)
    begun: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    _ending: str = ""

    @property
    def folder(self) -> Path:
        return Path(self.place.name) / self.recipe.name

    @property
    def archive(self) -> Path:
        return Path(self.place.name) / f"{self.recipe.name}.zip"

    @property
    def stopping(self) -> bool:
        """Whether it ends after the step under way."""
        return bool(self._ending)

    @property
    def rate(self) -> float:
        """Steps a second, 0 before the first."""
        passed = time.monotonic() - self.begun if self.begun else 0.0
        return self.step / passed if passed and self.step else 0.0

    @property
    def seconds_left(self) -> float:
        """Seconds to the last step, as far as the steps taken tell; before that, all there are."""
        return (self.recipe.steps - self.step) / self.rate if self.rate else self.seconds

    def watch(self) -> None:
        """Says that somebody still waits for the model."""
        self.seen = time.monotonic()

    def stop(self) -> None:
        """Ends the run after the step under way; what was learned is kept."""
        self._ending = self._ending or "stopped"

    def leave(self) -> None:
        """Ends the run after the step under way and keeps nothing; after the end, does nothing."""
        if not self.over.is_set():
            self._ending = "left"

    def work(self) -> None:
        """The run from beginning to end, on a thread of its own."""
        _step_back()
        try:
            self._work()
        except _Left:
            self.problem = "The training ended because its page was closed."
        except FloatingPointError:
            self.problem = f"The loss stopped being a number after step {self.step}: choose a lower learning rate."
        except (ValueError, OSError) as error:
            self.problem = sentence(error)
        except Exception as error:
            log.exception("training failed")
            self.problem = f"The training failed ({type(error).__name__})."
        finally:
            if self.problem:
                self.place.cleanup()
            self.over.set()

    def _work(self) -> None:
        from longclip.training.estimate import estimate_steps
        from longclip.training.finish import finish, measure_start
        from longclip.training.loop import Interrupted, train

        self.before = measure_start(replace(self.recipe, stretch="none"))
        self._go_on("Measuring the base with its positions stretched")
        self.stretched = measure_start(self.recipe)
        self._go_on("Timing a few steps")
        steps = estimate_steps(self.recipe, TRAINING_SHARE * self.seconds)
        self.recipe = replace(
            self.recipe,
            steps=steps,
            warmup=min(max(steps // 10, SHORTEST_WARMUP), LONGEST_WARMUP, max(1, steps // 2)),
            validate_every=max(1, steps // VALIDATIONS),
            save_every=steps,
        )
        self._go_on("Training")
        command = command_line(self.recipe)
        self.begun = time.monotonic()
        try:
            train(self.recipe, self.folder, 0, command, self._note, self._hear)
        except Interrupted:
            self._leave_if_alone()
            self.phase = "Measuring what it has learned"
            self.after = finish(self.recipe, self.folder, command)
        self.phase = "Packing"
        _pack(self.folder, self.archive)

    def _go_on(self, phase: str) -> None:
        self._leave_if_alone()
        if self._ending:
            raise ValueError("Stopped before the first step: there is nothing to keep.")
        self.phase = phase

    def _leave_if_alone(self) -> None:
        if self._ending == "left" or time.monotonic() - self.seen > PATIENCE:
            raise _Left

    def _hear(self, ahead: Preview) -> None:
        """What the run will do, of which the page shows what is wrong with it."""
        self.warnings = ahead.warnings

    def _note(self, step: int, values: dict[str, float]) -> bool:
        """Hears of a step; whether to go on."""
        self.step = step
        self.rows.append((step, values))
        self.after = {name: value for name, value in values.items() if "R@" in name} or self.after
        time.sleep(PAUSE)
        return not self._ending and time.monotonic() - self.seen <= PATIENCE


class Trainings:
    """At most one training at a time. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._now: Training | None = None
        self._lock = Lock()

    def start(self, recipe: Recipe, seconds: float, session: str = "") -> Training:
        """Begins a run. Raises Busy while there is another."""
        with self._lock:
            if self._now is not None and not self._now.over.is_set():
                minutes = max(1, round(self._now.seconds_left / 60))
                raise Busy(
                    "A model is being trained on this machine already, and there is room for one: try again in about "
                    f"{minutes} minute{'s' if minutes != 1 else ''}."
                )
            self._now = Training(recipe, seconds, session)
            _RUNNING.add(self._now)
            Thread(target=self._now.work, daemon=True, name="training").start()
            return self._now

    def stop(self, session: str) -> None:
        """Ends the run of a visitor, if it is theirs."""
        with self._lock:
            if self._now is not None and self._now.session == session:
                self._now.stop()


_RUNNING: WeakSet[Training] = WeakSet()


@atexit.register
def end_all() -> None:
    """Ends every run after the step under way and waits for that: an interpreter that goes away under a step crashes."""
    for training in list(_RUNNING):
        training.leave()
    for training in list(_RUNNING):
        training.over.wait()


def _step_back() -> None:
    """Lets searches go first: this thread, and those it starts, count less with the scheduler."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)


def _pack(folder: Path, archive: Path) -> None:
    """The model's folder as a zip, without what only the training needed, which is removed."""
    for path in (path for pattern in _SCRAPS for path in folder.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"{folder.name}/{path.name}")
