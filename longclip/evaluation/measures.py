"""The measures there are, what each needs of a set, and one call that takes several of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..encoder import Encoder
    from .data import EvaluationSet
    from .features import Features


# What ImageNet's folders are called.
_WORDNET = re.compile(r"[nvar]\d{8}")


@dataclass(frozen=True)
class Measure:
    """A measure by its name: function ``measure_NAME`` of the module NAME of this package.

    about: what it tells, in a sentence. cheap: takes little more than encoding the set. lacks: what a set must have for it
    and has not, as the end of a sentence; empty where it fits. options: the options of `measure` that it takes.
    """

    name: str
    title: str
    about: str
    cheap: bool
    lacks: Callable[[EvaluationSet], str]
    options: tuple[str, ...] = ()

    @property
    def run(self) -> Callable[..., dict[str, Any]]:
        """The function: features and options in, named figures out."""
        return getattr(import_module(f"{__package__}.{self.name}"), f"measure_{self.name}")


def _lacks_captions(data: EvaluationSet) -> str:
    if not data.long:
        return "there are no captions"
    if len(data.pictures) < 2:
        return "there are no two pictures to tell apart"
    alone = [family for family, size in Counter(data.families).items() if size == 1]
    return f"the family {alone[0]} has one picture, and so nothing to tell it from" if alone else ""


def _lacks_classes(data: EvaluationSet) -> str:
    if data.families:
        return "the members of a family show the same"
    return "" if len(data.all_classes) > 1 and data.classes else "there are no two classes"


def _lacks_names(data: EvaluationSet) -> str:
    ids = [name for name in data.all_classes.values() if _WORDNET.fullmatch(name)]
    if ids and not _lacks_classes(data):
        return (
            f"{len(ids):,} classes are called by an id, such as {ids[0]}: name them in classes.txt or classnames.json in the "
            "folder, or with --class-names"
        )
    return _lacks_classes(data)


_TABLE = (
    Measure("retrieval", "Retrieval", "Recall at 1, 5 and 10 in both directions.", True, _lacks_captions),
    Measure("zeroshot", "Zero-shot", "Accuracy with class names for captions.", True, _lacks_names, ("templates",)),
    Measure("probe", "Linear probe", "Accuracy of a linear classifier on picture features.", False, _lacks_classes, ("seed",)),
    Measure("length", "Length", "Recall and score by how much of a caption is kept.", False, _lacks_captions, ("seed",)),
    Measure("alignment", "Alignment", "Margins between positive and negative pairs.", True, _lacks_captions),
    Measure(
        "attribution", "Attribution", "Whether explanations of a match are true.", False, _lacks_captions, ("explained", "seed")
    ),
)
MEASURES = {measure.name: measure for measure in _TABLE}
CHEAP = tuple(measure.name for measure in _TABLE if measure.cheap)


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for a name that is no measure's."""
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise ValueError(f"measure {', '.join(unknown)} is unknown; there are {', '.join(MEASURES)}")


def skipped(data: EvaluationSet, names: Sequence[str]) -> dict[str, str]:
    """Of these measures the ones that do not fit a set, with the reason."""
    return {name: reason for name in names if (reason := MEASURES[name].lacks(data))}


def measure(
    encoder: Encoder,
    data: EvaluationSet,
    names: Sequence[str] = CHEAP,
    batch_size: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The figures of those of the named measures that fit a set: numbers, or curves as {place: number}; ready for JSON.

    options: `templates` (zeroshot; texts with {} for the class), `explained` (attribution; how many captions are taken
    apart) and `seed` (probe, length, attribution). Pictures and captions are encoded once for all measures. Raises
    ValueError for an unknown name, ImageError for a picture that cannot be read.
    """
    from .features import Features

    return measure_features(Features(encoder, data, batch_size), names, **options)


def measure_features(features: Features, names: Sequence[str] = CHEAP, **options: Any) -> dict[str, Any]:
    """What `measure` gives, of a set whose features may be known already."""
    check_names(names)
    unfit = skipped(features.data, names)
    figures: dict[str, Any] = {}
    for chosen in (MEASURES[name] for name in names if name not in unfit):
        figures |= chosen.run(features, **{key: value for key, value in options.items() if key in chosen.options})
    return figures
