"""Pictures with classes and no captions: CIFAR-10 and -100 in their binary version, and a folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.splits import ALL, choose_split
from ..textfiles import read_text, split_lines
from .class_folders import holds_classes, read_class_folders
from .data import EvaluationSet, draw_subset

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("cifar", "classes")
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class Cifar:
    """Where a version of CIFAR (Krizhevsky, 2009) keeps what. `label` is the byte of a record that holds the class."""

    name: str
    training: tuple[str, ...]
    test: str
    names: str
    label: int
    pickled: tuple[str, ...]


CIFARS = (
    Cifar(
        "cifar-10",
        training=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        names="batches.meta.txt",
        label=0,
        pickled=("data_batch_1",),
    ),
    Cifar(
        "cifar-100",
        training=("train.bin",),
        test="test.bin",
        names="fine_label_names.txt",
        label=1,
        pickled=("train", "test", "meta"),
    ),
)


@dataclass(frozen=True)
class CifarPictures(Sequence):
    """Records of label bytes and 3 x 32 x 32 pixels, uint8 [n, bytes], as PIL images made when they are asked for."""

    records: np.ndarray

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Image:
        from PIL import Image

        planes = self.records[index, -_PIXELS:].reshape(3, _SIDE, _SIDE)
        return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))


def read_classes(
    source: str, limit: int | None = None, seed: int = 0, split: str | None = None, names: str | Path | None = None
) -> EvaluationSet | None:
    """The pictures of a CIFAR or of a folder of classes, with those to train on; None for anything else.

    source: a folder, or ``cifar:FOLDER`` or ``classes:FOLDER`` where it must be that. A folder of classes is
    ``CLASS/picture.jpg``, or has such folders in ``train``, ``val`` and ``test``; without a prefix it is taken for one if
    it holds nothing else to read. split: one of those, or "all"; without it test, or else val. names: a file with the names
    of the classes of folders (see `class_names`). limit: so many pictures at most, and as many to train on. Raises ValueError
    for CIFAR's Python version, for a faulty folder and an unknown split, FileNotFoundError where there is none.
    """
    format, colon, place = source.partition(":")
    if not colon or format not in FORMATS:
        format, place = "", source
    folder = Path(place)
    if not folder.is_dir():
        if format:
            raise FileNotFoundError(f"there is no folder {place}")
        return None
    cifar = find_cifar(folder) if format != "classes" else None
    if cifar:
        return read_cifar(folder, cifar, limit, seed, split)
    if format == "cifar":
        wanted = " or ".join(f"{cifar.test} ({cifar.name})" for cifar in CIFARS)
        raise ValueError(f"{folder} is no binary CIFAR: wanted a folder that holds {wanted}")
    return read_class_folders(folder, limit, seed, split, names) if format or holds_classes(folder) else None


def find_cifar(folder: Path) -> Cifar | None:
    """Which CIFAR lies in a folder. Raises ValueError for the Python version of one."""
    for cifar in CIFARS:
        if (folder / cifar.test).is_file():
            return cifar
        if all((folder / name).is_file() for name in cifar.pickled):
            raise ValueError(
                f"{folder} holds the Python version of {cifar.name}, which consists of pickles, and reading a pickle may run "
                f"any code: wanted the binary version, with {cifar.test}"
            )
    return None


def read_cifar(folder: Path, cifar: Cifar, limit: int | None = None, seed: int = 0, split: str | None = None) -> EvaluationSet:
    """CIFAR's test pictures, or those of another split; beside test `training` reads the others.

    Raises ValueError for files of another size, and for names that do not fit.
    """
    lines = split_lines(read_text(folder / cifar.names)) if (folder / cifar.names).is_file() else []
    names = [line.strip().replace("_", " ") for line in lines if line.strip()]
    if not names:
        raise ValueError(f"{folder} has no {cifar.names}, which names the classes")
    if len(set(names)) < len(names):
        raise ValueError(f"{folder / cifar.names} gives two classes one name")
    present = [file for file in cifar.training if (folder / file).is_file()]
    files = {"test": [cifar.test], "train": present}
    there = {
        name: sum((folder / file).stat().st_size for file in part) // (cifar.label + 1 + _PIXELS)
        for name, part in files.items()
    }
    chosen = choose_split(there, split, ("test",), cifar.name)

    def read(files: Sequence[str], split: str) -> EvaluationSet:
        records = np.concatenate([_read_records(folder / file, cifar.label + 1) for file in files])
        labels = records[:, cifar.label]
        if len(labels) and labels.max() >= len(names):
            raise ValueError(f"{folder} has the label {labels.max()}, but {cifar.names} names {len(names)} classes")
        data = EvaluationSet(
            cifar.name,
            CifarPictures(records),
            classes=[names[label] for label in labels],
            class_names={name: name for name in names},
            split=split,
        )
        return draw_subset(data, limit, seed)

    wanted = list(files) if chosen == ALL else chosen.split("+")
    data = read([file for name in wanted for file in files[name]], chosen)
    return replace(data, training=(lambda: read(present, "train")) if present and chosen == "test" else None)


def _read_records(path: Path, labels: int) -> np.ndarray:
    content = np.fromfile(path, dtype=np.uint8)
    if not len(content) or len(content) % (labels + _PIXELS):
        raise ValueError(f"{path} has {len(content):,} bytes, wanted a multiple of {labels + _PIXELS:,}: is it cut off?")
    return content.reshape(-1, labels + _PIXELS)
