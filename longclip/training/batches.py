"""A batch, and where its rows come from: number `step` of a seed is the same batch wherever and whenever it is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..recipes import OptionError
from .stopping import follow_parent


@dataclass(frozen=True)
class Batch:
    """One process's rows of a batch.

    images: uint8 [n, 3, height, width]. long, short, negative: one caption a row; short and negative are empty where the
    recipe needs none, and a text of `negative` is empty where a scene has none. names: what each row came from, for
    messages. tried: the numbers of the pairs whose pictures were opened; skipped: a sentence on each that cannot be read.
    """

    images: Tensor
    long: list[str]
    short: list[str] = field(default_factory=list)
    negative: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    tried: list[int] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.long)

    def split(self, size: int) -> Iterator[Batch]:
        """Parts of at most `size` rows; all in one where `size` is 0."""
        for first in range(0, len(self), size or len(self)):
            rows = slice(first, first + (size or len(self)))
            yield Batch(self.images[rows], self.long[rows], self.short[rows], self.negative[rows], self.names[rows])


@dataclass(frozen=True)
class Share:
    """Which rows of a batch belong to this process: the `rank`-th of `processes` equal parts."""

    rank: int = 0
    processes: int = 1

    def rows(self, batch: int) -> range:
        """Raises OptionError where the batch cannot be divided."""
        if batch % self.processes:
            raise OptionError("batch", f"is {batch}, which {self.processes} processes cannot share: wanted a multiple")
        each = batch // self.processes
        return range(self.rank * each, (self.rank + 1) * each)


def load_batches(batches: Dataset, numbers: Sequence[int], workers: int) -> Iterator[Any]:
    """Batches of these numbers in their order, made by so many processes ahead of the model (0: in this one).

    What goes wrong in making one is raised as it is here, from whichever process.
    """
    if not numbers:
        return
    loader = DataLoader(
        _Guarded(batches),
        None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=follow_parent,
    )
    for batch in loader:
        if isinstance(batch, _Fault):
            raise batch.error
        yield batch


@contextmanager
def workers_named() -> Iterator[None]:
    """Raises OSError, in a sentence, where a process that prepares pictures was killed, which may come to light at any time."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        raise OSError(
            f"a process that prepares pictures has ended ({reason}): fewer of them (--workers) take less memory; the same "
            "command goes on from the last state"
        ) from error


@dataclass(frozen=True)
class _Fault:
    error: Exception


@dataclass(frozen=True)
class _Guarded(Dataset):
    """Batches, or what went wrong with one: torch would make an exception of a worker a text of many lines."""

    batches: Dataset

    def __getitem__(self, number: int) -> Any:
        try:
            return self.batches[number]
        except Exception as error:
            return _Fault(error)
