"""What is trained on, and what a data set itself keeps to validate on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .pairs import DataError, PairData
from .readers import read_data
from .splits import ALL


def read_training_pairs(source: str, pictures: str | Path | None, split: str | None) -> tuple[PairData, PairData | None]:
    """The pairs to train on, of what `read_data` reads, and those of the split "val"; None where they are trained on.

    Without `split` those of "train" are trained on, where the data have splits. Raises DataError, also where they have
    several and none of this name.
    """
    data = read_data(source, pictures, split, ("train",))
    if split is None and data.split == ALL and len(data.splits) > 1:
        raise DataError(f"{source} has the splits {', '.join(data.splits)} and none called train: say which with --split")
    if "val" not in data.splits or data.split == ALL or "val" in data.split.split("+"):
        return data, None
    return data, replace(data.of("val"), name=f"{data.name}, held out")
