"""The work of the *Evaluate* tab: sets drawn or read, and models measured on them, each piece once for all visitors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demos.context import BATCH, Context
from demos.selection import PICTURE_BOOK
from demos.slots import MEASURE, READ, Kind
from demos.stamps import stamp
from demos.work import Key, Note, Progress

if TYPE_CHECKING:
    import numpy as np

    from longclip.encoder import Encoder
    from longclip.evaluation.data import EvaluationSet

# Members of a family, pictures that a probe learns from for each it is tested on.
FAMILY, LEARNED = 8, 2
# Seconds that an embedded model takes for a picture or a caption on one core; others are taken for so many times larger.
SECONDS, LARGER = 0.005, 20
# What a measure costs for each picture beyond drawing and encoding it, and what these do: in pictures or captions to encode.
COSTS = {"retrieval": 1.0, "zeroshot": 0.5, "probe": 5.0, "length": 5.0, "alignment": 1.0, "attribution": 700.0}
OTHER_COST, DRAWING, ENCODING = 5.0, 2.0, 2.0
# Pieces of which the figures are kept, and data sets, which hold their pictures.
KEPT, KEPT_SETS = 600, 2


@dataclass(frozen=True)
class Data:
    """What is measured on: `PICTURE_BOOK`, or a source that `longclip.evaluation.data.read_sets` reads; and how many pictures
    of each of its sets. stamp: what tells a file or folder from what it was before."""

    source: str = PICTURE_BOOK
    pictures: int = 100
    stamp: str = ""

    @classmethod
    def at(cls, source: str, pictures: int) -> Data:
        """As it is now on the disk."""
        path = source if Path(source).exists() else source.partition(":")[2]
        return cls(source, pictures, stamp(path) if path and source != PICTURE_BOOK else "")

    def read(self) -> list[EvaluationSet]:
        """The sets. Raises ValueError or FileNotFoundError, also where there is no picture."""
        from longclip.evaluation.data import read_sets

        if self.source == PICTURE_BOOK:
            return read_sets(self.source, 0, self.pictures, self.pictures // FAMILY, training_scenes=LEARNED * self.pictures)
        sets = [data for data in read_sets(self.source, limit=self.pictures) if len(data.pictures)]
        if not sets:
            raise ValueError(f"{self.source} has no pictures with captions or classes")
        return sets


@dataclass(frozen=True)
class Step:
    """One measure of one model on one set, which is number `part` of its data and holds what `content` names."""

    data: Data
    part: int
    model: str
    measure: str
    content: str = ""


class Measuring:
    """Sets and figures by what was asked for. As in `Context`, what takes long is an iterator, then a result."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def reading(self, data: Data) -> Iterator[Progress]:
        """Draws or reads the sets. Only the latest stay: they hold their pictures."""
        yield from self.context.working(*self._data(data))

    def sets(self, data: Data) -> list[EvaluationSet]:
        """The sets. Raises Unavailable."""
        return self.context.worked(*self._data(data))

    def measuring(self, step: Step, data: EvaluationSet) -> Iterator[Progress]:
        """Takes a measure of the step's set: of what is being encoded."""
        yield from self.context.working(*self._measurement(step, data))

    def figures(self, step: Step, data: EvaluationSet) -> dict[str, Any]:
        """The named figures of a measure. Raises Unavailable."""
        return self.context.worked(*self._measurement(step, data))

    def _data(self, data: Data) -> tuple[Key, Any, Kind, int]:
        return ("data", data), lambda note: data.read(), READ, KEPT_SETS

    def _measurement(self, step: Step, data: EvaluationSet) -> tuple[Key, Any, Kind, int]:
        return ("figures", step.model, step), lambda note: self._measure(step, data, note), MEASURE, KEPT

    def _measure(self, step: Step, data: EvaluationSet, note: Note) -> dict[str, Any]:
        from longclip.evaluation import measure

        # Pictures and captions that another measure had encoded come from the encoder's cache.
        return measure(Watched(self.context.encoder(step.model), note, self.context.runner.check), data, [step.measure])


@dataclass(frozen=True)
class Watched:
    """An encoder that says after each batch how far it is; at every call it can be stopped, and a search gets its turn."""

    encoder: Encoder
    note: Note
    check: Callable[[], None]

    def encode_text(self, texts: Sequence[str], batch_size: int = BATCH) -> np.ndarray:
        return self.encoder.encode_text(texts, batch_size, self.note)

    def encode_image(self, pictures: Sequence[Any], batch_size: int = BATCH, **others: Any) -> np.ndarray:
        return self.encoder.encode_image(pictures, batch_size, self.note, **others)

    def __getattr__(self, name: str) -> Any:
        self.check()
        return getattr(self.encoder, name)


def cost(measure: str, pictures: int, first: bool) -> float:
    """What a measure of so many pictures costs, in pictures to encode; the first of a set has the set encoded."""
    return pictures * (COSTS.get(measure, OTHER_COST) + (ENCODING if first else 0))


def estimate_seconds(data: Data, models: Sequence[bool], measures: Sequence[str]) -> float:
    """How long measuring takes about, for models of which it is known whether they are the small embedded ones."""
    of_classes = {"zeroshot", "probe"}
    drawn = data.pictures if data.source != PICTURE_BOOK else 3 * data.pictures
    each = drawn * ENCODING + sum(cost(name, data.pictures if name in of_classes else drawn, False) for name in measures)
    return SECONDS * (drawn * DRAWING + sum(each * (1 if small else LARGER) for small in models))
