"""What a reader gave: rows that name one picture together, whatever split they are of."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from .pairs import PackedPairs, Pair, Slice


class Collected:
    """The rows of a data set in their order, and for each which picture it names and which split it is of.

    `split_pictures` is the number of pictures by split, of those that have a name; a picture may be in several.
    """

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.rows = PackedPairs()
        self._pictures = array("Q")
        self._splits = array("H")
        self._names: dict[str, int] = {}
        numbers: dict[bytes, int] = {}
        for pair in pairs:
            self.rows.append(pair)
            self._pictures.append(numbers.setdefault(_key(pair.picture), len(numbers)))
            self._splits.append(self._names.setdefault(pair.split, len(self._names)))
        self.pictures = len(numbers)

    def name_first(self, count: int, first: Sequence[str], others: str) -> None:
        """Puts the first `count` pictures into splits of these names, all alike, and the others into another."""
        self._splits = array("H", (0 if picture < count else 1 for picture in self._pictures))
        self._names = {name: 0 for name in first} | {others: 1}

    @property
    def split_pictures(self) -> dict[str, int]:
        """Pictures by the name of their split."""
        met = set(zip(self._splits, self._pictures, strict=True)) if any(self._names) else set()
        counts = [0] * (1 + max(self._names.values(), default=0))
        for split, _ in met:
            counts[split] += 1
        return {name: counts[number] for name, number in self._names.items() if name}

    def in_several_splits(self) -> int:
        """Pictures that are in more than one split."""
        met = set(zip(self._splits, self._pictures, strict=True)) if len(set(self._splits)) > 1 else set()
        return len(met) - len({picture for _, picture in met})

    def select(self, splits: Iterable[str] | None = None) -> Sequence[Pair]:
        """The pairs of some splits, or of all; rows that name one picture are one pair, where the first of them stands."""
        if splits is None and self.pictures == len(self.rows):
            return self.rows
        return _Grouped(self.rows, *self._group(splits))

    def items(self, splits: Iterable[str] | None = None) -> Iterator[tuple[int, Pair]]:
        """The number of its first row, and each pair that `select` gives."""
        order, ends = self._group(splits)
        for number, pair in enumerate(_Grouped(self.rows, order, ends)):
            yield order[ends[number]], pair

    def _group(self, splits: Iterable[str] | None) -> tuple[array, array]:
        """The rows of some splits, those of one picture side by side, and where the rows of each picture end."""
        wanted = None if splits is None else {self._names[name] for name in splits}
        rows = array("Q", (row for row, split in enumerate(self._splits) if wanted is None or split in wanted))
        groups: dict[int, int] = {}
        sizes = array("Q")
        for row in rows:
            group = groups.setdefault(self._pictures[row], len(groups))
            if group == len(sizes):
                sizes.append(0)
            sizes[group] += 1
        ends = array("Q", [0])
        for size in sizes:
            ends.append(ends[-1] + size)
        order, place = array("Q", bytes(8 * len(rows))), array("Q", ends[:-1])
        for row in rows:
            group = groups[self._pictures[row]]
            order[place[group]] = row
            place[group] += 1
        return order, ends


class _Grouped(Sequence[Pair]):
    """Pairs that are made of several rows each: ``order[ends[i]:ends[i + 1]]`` of `rows`."""

    def __init__(self, rows: Sequence[Pair], order: Sequence[int], ends: Sequence[int]) -> None:
        self._rows, self._order, self._ends = rows, order, ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        groups = range(len(self))[index]
        if isinstance(groups, range):
            return [self[group] for group in groups]
        return join_pairs([self._rows[row] for row in self._order[self._ends[groups] : self._ends[groups + 1]]])


def join_pairs(pairs: Sequence[Pair]) -> Pair:
    """One pair of several of one picture: all their captions in their order, and what else the first that knows it says."""
    if len(pairs) == 1:
        return pairs[0]
    known = {name: next(filter(None, (getattr(pair, name) for pair in pairs)), "") for name in ("short", "label", "family")}
    return Pair(pairs[0].picture, tuple(text for pair in pairs for text in pair.captions), split=pairs[0].split, **known)


def _key(picture: Path | Slice) -> bytes:
    name = f"{picture.start}+{picture.path}" if isinstance(picture, Slice) else f"/{picture}"
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
