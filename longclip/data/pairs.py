"""Pictures and their captions, kept so that a million of them fit and any one is at hand."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ..textfiles import DataError
from .splits import ALL

if TYPE_CHECKING:
    from .collected import Collected

__all__ = ["DataError", "PackedPairs", "Pair", "PairData", "Slice"]


@dataclass(frozen=True)
class Slice:
    """Bytes `start` to `start + size` of a larger file, such as one member of a tar shard."""

    path: Path
    start: int
    size: int

    def read(self) -> bytes:
        """The bytes. Raises DataError where the file ends before them, OSError where it cannot be opened."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            content = file.read(self.size)
        if len(content) < self.size:
            raise DataError(f"{self.path} ends before byte {self.start + self.size:,}: it was cut off after it was indexed")
        return content


@dataclass(frozen=True)
class Pair:
    """A picture (not yet opened, perhaps not there) and what is said of it.

    captions: long ones, each as good as the others: rewrites, or the words of several people. short: the separate short
    caption, label: the class, family: the group of look-alikes, split: the part of its data set; each empty where it is not
    known.
    """

    picture: Path | Slice
    captions: tuple[str, ...]
    short: str = ""
    label: str = ""
    family: str = ""
    split: str = ""


class PackedPairs(Sequence[Pair]):
    """Pairs kept as one block of bytes and made anew when asked for.

    A million then take the room of their text, not of five objects each; and processes forked from this one share the
    block, where reference counts would copy it page by page.
    """

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._block = bytearray()
        self._ends = array("Q", [0])
        for pair in pairs:
            self.append(pair)

    def append(self, pair: Pair) -> None:
        """One more pair at the end."""
        self._block += _pack(pair)
        self._ends.append(len(self._block))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        rows = range(len(self))[index]
        if isinstance(rows, range):
            return [self[row] for row in rows]
        return _unpack(self._block[self._ends[rows] : self._ends[rows + 1]])


@dataclass(frozen=True)
class _Rows(Sequence[Pair]):
    """Some of other pairs, by their numbers."""

    pairs: Sequence[Pair]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self.pairs[row] for row in self.rows[index]]
        return self.pairs[self.rows[index]]


@dataclass
class PairData:
    """A data set, or a part of one. Rows of one picture are one pair with several captions.

    skipped: a sentence each on which of its records were left out on reading, and why. splits: how many pictures each of
    the splits has that it names. split: which of them these pairs are ("all", a name, or several joined by "+").
    """

    name: str
    pairs: Sequence[Pair]
    skipped: tuple[str, ...] = ()
    split: str = ALL
    splits: Mapping[str, int] = field(default_factory=dict)
    collected: Collected | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def title(self) -> str:
        """The name, with the split where there are some."""
        return f"{self.name}, split {self.split}" if self.splits else self.name

    def of(self, split: str) -> PairData:
        """The pairs of a split that `choose_split` names."""
        if split == self.split or self.collected is None:
            return self
        names = None if split == ALL else split.split("+")
        return replace(self, pairs=self.collected.select(names), split=split)

    def hold_out(self, held_out: int, seed: int | None = None) -> tuple[PairData, PairData]:
        """Pairs to train on, and `held_out` others, each in their order.

        Without a seed the first ones are held out, as Long-CLIP (arXiv 2403.15378) does with ShareGPT4V; with one,
        some drawn at random. Raises DataError where nothing would be left to train on.
        """
        total = len(self)
        if not 0 <= held_out < total:
            raise DataError(
                f"{held_out:,} pairs to hold out of {total:,}: wanted at least 0, and at least one left to train on"
            )
        if seed is None:
            chosen, rest = range(held_out), range(held_out, total)
        else:
            drawn = set(random.Random(seed).sample(range(total), held_out))
            chosen = array("Q", sorted(drawn))
            rest = array("Q", (row for row in range(total) if row not in drawn))
        return (
            replace(self, pairs=_Rows(self.pairs, rest), collected=None),
            PairData(f"{self.name}, held out", _Rows(self.pairs, chosen)),
        )


def _pack(pair: Pair) -> bytes:
    place = pair.picture
    picture: Any = [str(place.path), place.start, place.size] if isinstance(place, Slice) else str(place)
    text = json.dumps([picture, pair.captions, pair.short, pair.label, pair.family, pair.split], ensure_ascii=False)
    # File names that are not UTF-8, and captions cut inside an emoji, hold lone surrogates.
    return text.encode("utf-8", "surrogatepass")


def _unpack(content: bytes | bytearray) -> Pair:
    picture, captions, *others = json.loads(content.decode("utf-8", "surrogatepass"))
    place = Path(picture) if isinstance(picture, str) else Slice(Path(picture[0]), *picture[1:])
    return Pair(place, tuple(captions), *others)
