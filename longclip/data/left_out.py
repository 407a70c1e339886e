"""An account of what a reader leaves out, and why."""

from __future__ import annotations

from collections.abc import Iterator

# Names that are told of each kind.
NAMED = 3


class LeftOut:
    """Counts what is left out by the reason, with the names of the first ones."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, what: str, name: str = "") -> None:
        """One more of `what` ("pictures without caption"), called `name`."""
        self._counts[what] = self._counts.get(what, 0) + 1
        names = self._names.setdefault(what, [])
        if name and len(names) < NAMED:
            names.append(name)

    def count(self, what: str) -> int:
        """How many of these were left out."""
        return self._counts.get(what, 0)

    def __iter__(self) -> Iterator[str]:
        """A sentence for each kind."""
        for what, count in self._counts.items():
            names = self._names[what]
            more = ["…"] if count > len(names) > 0 else []
            yield f"{what}: {count:,} left out" + (f" ({', '.join([*names, *more])})" if names else "")
