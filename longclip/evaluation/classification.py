"""Pictures with classes and no captions: CIFAR-10 and -100 in their binary version, and a folder a class."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.readers.paths import PICTURE_ENDINGS
from .data import EvaluationSet, draw_subset

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("cifar", "classes")
TEST_FOLDERS = ("test", "val", "validation")
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


def read_classes(source: str, limit: int | None = None, seed: int = 0) -> EvaluationSet | None:
    """The test pictures of a CIFAR or of a folder of classes, with those to train on; None for anything else.

    source: a folder, or ``cifar:FOLDER`` or ``classes:FOLDER`` where it must be that. A folder of classes is
    ``CLASS/picture.jpg``, or has such folders in ``train`` and ``test`` (or ``val``); without a prefix it is taken for one if
    it holds nothing else to read. limit: so many pictures at most, and as many to train on. Raises ValueError for CIFAR's
    Python version and for a faulty folder, FileNotFoundError where there is none.
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
        return read_cifar(folder, cifar, limit, seed)
    if format == "cifar":
        wanted = " or ".join(f"{cifar.test} ({cifar.name})" for cifar in CIFARS)
        raise ValueError(f"{folder} is no binary CIFAR: wanted a folder that holds {wanted}")
    return read_class_folders(folder, limit, seed) if format or _holds_classes(folder) else None


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


def read_cifar(folder: Path, cifar: Cifar, limit: int | None = None, seed: int = 0) -> EvaluationSet:
    """CIFAR's test pictures; `training` reads the others. Raises ValueError for files of another size."""
    lines = (folder / cifar.names).read_text("utf-8").splitlines() if (folder / cifar.names).is_file() else []
    names = [line.strip().replace("_", " ") for line in lines if line.strip()]
    if not names:
        raise ValueError(f"{folder} has no {cifar.names}, which names the classes")

    def read(files: Sequence[str]) -> EvaluationSet:
        records = np.concatenate([_read_records(folder / file, cifar.label + 1) for file in files])
        labels = records[:, cifar.label]
        if len(labels) and labels.max() >= len(names):
            raise ValueError(f"{folder} has the label {labels.max()}, but {cifar.names} names {len(names)} classes")
        data = EvaluationSet(cifar.name, CifarPictures(records), classes=[names[label] for label in labels], class_names=names)
        return draw_subset(data, limit, seed)

    present = [file for file in cifar.training if (folder / file).is_file()]
    return replace(read([cifar.test]), training=(lambda: read(present)) if present else None)


def _read_records(path: Path, labels: int) -> np.ndarray:
    content = np.fromfile(path, dtype=np.uint8)
    if not len(content) or len(content) % (labels + _PIXELS):
        raise ValueError(f"{path} has {len(content):,} bytes, wanted a multiple of {labels + _PIXELS:,}: is it cut off?")
    return content.reshape(-1, labels + _PIXELS)


def read_class_folders(folder: Path, limit: int | None = None, seed: int = 0) -> EvaluationSet:
    """Pictures in a folder a class, of ``test`` (or ``val``) where there is one, `training` being ``train`` then.

    A class is called as its folder is, "_" read as a space; or as ``classnames.json`` ({folder: name}) or ``classes.txt``
    (a line "folder name", or a name a line in the order of the folders) says. Raises ValueError where a folder has no
    class of its own, or there is no picture.
    """
    test = next((folder / name for name in TEST_FOLDERS if _class_folders(folder / name)), None)
    root = test or (folder / "train" if _class_folders(folder / "train") else folder)
    places = _class_folders(root)
    if not places:
        raise ValueError(f"{folder} has no folders of pictures: wanted CLASS/picture.jpg, or such folders in train and test")
    training = folder / "train"
    others = _class_folders(training) if test else []
    names = class_names(folder, sorted({place.name for place in [*places, *others]}))

    def read(places: list[Path]) -> EvaluationSet:
        found = [(path, names[place.name]) for place in places for path in _pictures(place)]
        data = EvaluationSet(
            folder.name, [path for path, _ in found], classes=[name for _, name in found], class_names=list(names.values())
        )
        return draw_subset(data, limit, seed)

    return replace(read(places), training=(lambda: read(others)) if others else None)


def class_names(folder: Path, places: list[str]) -> dict[str, str]:
    """The name of the class of each of the folders `places`, as the files in `folder` say, or else as they are called."""
    table, lines = folder / "classnames.json", folder / "classes.txt"
    if table.is_file():
        names = json.loads(table.read_text("utf-8"))
        if not isinstance(names, dict):
            raise ValueError(f"{table} is no object of folders and names")
    elif lines.is_file():
        rows = [line.strip() for line in lines.read_text("utf-8").splitlines() if line.strip()]
        parts = dict((row.split(maxsplit=1) + [""])[:2] for row in rows)
        listed = all(parts.get(place) for place in places)
        if not listed and len(rows) != len(places):
            raise ValueError(f"{lines} has {len(rows)} lines for {len(places)} folders: wanted a line FOLDER NAME for each")
        names = parts if listed else dict(zip(places, rows, strict=True))
    else:
        names = {place: place.replace("_", " ") for place in places}
    missing = [place for place in places if not names.get(place)]
    if missing:
        raise ValueError(f"{table} has no name for {', '.join(missing[:5])}")
    named = {place: str(names[place]) for place in places}
    if len(set(named.values())) < len(named):
        twice = next(name for name in named.values() if list(named.values()).count(name) > 1)
        raise ValueError(f"two folders of {folder} are called {twice!r}: wanted a name for each in classes.txt")
    return named


def _holds_classes(folder: Path) -> bool:
    """Whether it has two folders of pictures, no caption beside them, and nothing else that could be read."""
    if any(path.suffix.lower() in (*PICTURE_ENDINGS, ".tar", ".csv", ".jsonl") for path in folder.iterdir()):
        return False
    parts = [folder / name for name in ("train", *TEST_FOLDERS)]
    places = [place for root in (folder, *parts) for place in _class_folders(root) if place not in parts]
    return len(places) > 1 and not any(path.suffix in (".txt", ".jsonl") for place in places for path in place.iterdir())


def _class_folders(root: Path) -> list[Path]:
    """The folders within `root` that directly hold a picture, in order."""
    if not root.is_dir():
        return []
    return sorted(place for place in root.iterdir() if place.is_dir() and next(_pictures(place), None))


def _pictures(place: Path) -> Iterator[Path]:
    return (path for path in sorted(place.iterdir()) if path.suffix.lower() in PICTURE_ENDINGS)
