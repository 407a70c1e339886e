"""What is measured on: pictures with captions, some of them in families that share a summary, or with classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data.pairs import Pair, PairData
    from ..picturebook.pages import Page

SCENES, FAMILIES, FAMILY_SIZE, TRAINING_SCENES = 1000, 125, 8, 2000
HELD_OUT = "held-out"
# What is measured on where nobody says: the first of these splits that a data set has.
PREFERRED = ("test", "val")


@dataclass(frozen=True)
class EvaluationSet:
    """Pictures (paths, bytes or PIL images) with long captions, and what else is known of them; empty where it is not.

    long: one caption a picture, in their order; or, with `owners`, any number: caption i is of picture ``owners[i]``.
    short: a one-sentence caption a picture. families: a name a picture; only pictures of one family are compared with
    each other. classes: the class of what each picture mainly shows; class_names: all classes there are, also those that do
    not occur, in their order, and the name of each, which may be another's too. pages: where the pictures are of the picture
    book, their pages. training: makes the set of other pictures, with classes, that a classifier may learn from. split: the
    part of the data that this is; notes: a sentence each on what was left out of it, and on what is odd.
    """

    name: str
    pictures: Sequence[Any]
    long: Sequence[str] = ()
    short: Sequence[str] = ()
    families: Sequence[str] = ()
    classes: Sequence[str] = ()
    owners: Sequence[int] = ()
    class_names: Mapping[str, str] = field(default_factory=dict)
    pages: Sequence[Page] = ()
    training: Callable[[], EvaluationSet] | None = field(default=None, compare=False)
    split: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = {"short": self.short, "families": self.families, "classes": self.classes, "pages": self.pages}
        columns |= {} if self.owners else {"long": self.long}
        for name, values in columns.items():
            if values and len(values) != len(self.pictures):
                raise ValueError(f"{self.name} has {len(values)} {name} for {len(self.pictures)} pictures")
        if self.owners and len(self.owners) != len(self.long):
            raise ValueError(f"{self.name} has {len(self.owners)} owners for {len(self.long)} long captions")
        if self.owners:
            without = set(range(len(self.pictures))) ^ set(self.owners)
            if without:
                raise ValueError(f"{self.name} has no picture, or no caption of it, for the owner {min(without)}")
        unnamed = set(self.classes) - self.class_names.keys() if self.class_names else ()
        if unnamed:
            raise ValueError(f"{self.name} has the class {min(unnamed)!r}, which class_names lacks")

    @property
    def all_classes(self) -> dict[str, str]:
        """Every class and its name, in a fixed order."""
        return dict(self.class_names) or {name: name for name in sorted(set(self.classes))}

    def describe(self) -> str:
        """The name and split, and how many pictures, captions and classes there are."""
        counts = [f"{len(self.pictures):,} pictures"]
        counts += [f"{len(self.long):,} captions"] if self.long else []
        counts += [f"{len(self.all_classes):,} classes"] if self.classes else []
        return f"{self.name}{f', split {self.split}' if self.split else ''}: {', '.join(counts)}"

    def to_json(self) -> dict[str, Any]:
        """What `describe` says, ready for JSON, with the notes."""
        counts = {"pictures": len(self.pictures), "captions": len(self.long)}
        counts |= {"classes": len(self.all_classes)} if self.classes else {}
        return {"split": self.split or None, **counts, "notes": list(self.notes)}

    def take(self, rows: Sequence[int]) -> EvaluationSet:
        """The set of these pictures, in this order, with all that is known of them."""

        def column(values: Sequence[Any]) -> list[Any]:
            return [values[row] for row in rows] if values else []

        owned: list[list[int]] = [[] for _ in self.pictures]
        for caption, owner in enumerate(self.owners):
            owned[owner].append(caption)
        captions = [[self.long[caption] for caption in owned[row]] for row in rows]
        return replace(
            self,
            pictures=Chosen(self.pictures, rows),
            long=list(chain.from_iterable(captions)) if self.owners else column(self.long),
            short=column(self.short),
            families=column(self.families),
            classes=column(self.classes),
            pages=column(self.pages),
            owners=[number for number, texts in enumerate(captions) for _ in texts] if self.owners else (),
        )


@dataclass(frozen=True)
class Chosen(Sequence):
    """Some rows of a sequence, read when they are asked for."""

    rows_of: Sequence[Any]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows_of[self.rows[index]]


@dataclass(frozen=True)
class _Pictures(Sequence):
    """The pictures of pairs; the bytes of one that lies inside a larger file are read when it is asked for."""

    pairs: Sequence[Pair]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Path | bytes:
        picture = self.pairs[index].picture
        return picture if isinstance(picture, Path) else picture.read()


def read_sets(
    source: str,
    seed: int = 0,
    scenes: int = SCENES,
    families: int = FAMILIES,
    split: str | None = None,
    pictures: str | Path | None = None,
    limit: int | None = None,
    training_scenes: int = TRAINING_SCENES,
    class_names: str | Path | None = None,
) -> list[EvaluationSet]:
    """The sets that `source` names.

    "picturebook" draws its own: `scenes` and twice `families` of 8 of the split (held-out, or what is given). A folder of
    classes or the binary CIFAR is read by `classification.read_classes`, which `class_names` is for, everything else (also as
    ``FORMAT:PATH``) by `longclip.data.readers.read_data`, which `pictures` is for. split: a part of the data, as they call it,
    or "all"; without it test where there is one, or val, or else all. limit: so many pictures at most of each set, drawn with
    the seed; whole families where there are some. Raises ValueError or FileNotFoundError for what is none of these.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; wanted 1 or more pictures")
    if source == "picturebook":
        if limit is not None:
            scenes, families = min(scenes, limit), min(families, limit // FAMILY_SIZE)
        return draw_sets(seed, scenes, families, split or HELD_OUT, training_scenes)
    from ..data.readers import read_data
    from .classification import read_classes

    classes = read_classes(source, limit, seed, split, class_names) if pictures is None else None
    if classes:
        return [classes]
    if class_names is not None:
        raise ValueError(f"{source} has captions and no classes: the names of classes belong to a folder of them")
    return sets_of_pairs(read_data(source, pictures, split, PREFERRED), limit, seed)


def draw_sets(seed: int, scenes: int, families: int, split: str, training_scenes: int) -> list[EvaluationSet]:
    """Sets of the picture book: independent scenes, hard families and late families; those of no picture are left out."""
    from ..picturebook.pages import draw_pages

    def draw_training() -> EvaluationSet:
        return _from_pages("training", list(draw_pages("train", seed, training_scenes)))

    size = FAMILY_SIZE
    drawn = {
        "scenes": draw_pages(split, seed, scenes),
        "hard families": draw_pages(split, seed, families * size, size),
        "late families": draw_pages(split, seed, families * size, size, late=True),
    }
    sets = {name: list(pages) for name, pages in drawn.items()}
    found = [_from_pages(name, pages, None if pages[0].family else draw_training) for name, pages in sets.items() if pages]
    return [replace(data, split=split) for data in found]


def sets_of_pairs(data: PairData, limit: int | None = None, seed: int = 0) -> list[EvaluationSet]:
    """Pairs as one set of them all, and one of their families where they have some."""
    captions = [[text for text in pair.captions if text.strip()] for pair in data.pairs]
    rows = [row for row, texts in enumerate(captions) if texts]
    if not rows:
        raise ValueError(f"{data.name} has no captions: wanted at least one for some of its {len(data.pairs):,} pictures")
    pairs = [data.pairs[row] for row in rows]
    several = any(len(captions[row]) > 1 for row in rows)
    columns = {name: [getattr(pair, name) for pair in pairs] for name in ("short", "label", "family")}
    whole = EvaluationSet(
        data.name,
        Chosen(_Pictures(data.pairs), rows),
        [text for row in rows for text in captions[row]],
        columns["short"] if all(columns["short"]) else (),
        classes=columns["label"] if all(columns["label"]) else (),
        owners=[number for number, row in enumerate(rows) for _ in captions[row]] if several else (),
        split=data.split if data.splits else "",
        notes=(*data.skipped, *_partly_known(columns)),
    )
    sets = [draw_subset(whole, limit, seed)]
    sizes = Counter(filter(None, columns["family"]))
    # A family of one picture would be found at the first place, whatever the model.
    members = [number for number, family in enumerate(columns["family"]) if sizes[family] > 1]
    alone = sum(size == 1 for size in sizes.values())
    if members:
        whole = replace(whole, notes=(f"families of one picture: {alone:,} left out",) if alone else ())
        subset = replace(whole.take(members), name=f"{data.name}, within families")
        sets.append(draw_subset(replace(subset, families=[columns["family"][row] for row in members]), limit, seed))
    return sets


def _partly_known(columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What some pictures have and others lack, and is therefore not measured."""
    for name, what in (("short", "short captions"), ("label", "labels")):
        count, total = sum(map(bool, columns[name])), len(columns[name])
        if 0 < count < total:
            yield f"{what}: only {count:,} of {total:,} pictures have one, so that nothing is measured by them"


def draw_subset(data: EvaluationSet, limit: int | None, seed: int = 0) -> EvaluationSet:
    """At most `limit` of a set's pictures, drawn with the seed and in their order; whole families where it has some."""
    count = len(data.pictures)
    if limit is None or count <= limit:
        return data
    if not data.families:
        return _noted(data.take(sorted(Random(seed).sample(range(count), limit))), count)
    sizes = Counter(data.families)
    names = list(sizes)
    Random(seed).shuffle(names)
    chosen: set[str] = set()
    for name in names:
        if sizes[name] <= limit:
            chosen.add(name)
            limit -= sizes[name]
    return _noted(data.take([row for row, family in enumerate(data.families) if family in chosen]), count)


def _noted(data: EvaluationSet, count: int) -> EvaluationSet:
    return replace(data, notes=(*data.notes, f"{len(data.pictures):,} of {count:,} pictures are drawn"))


def _from_pages(name: str, pages: list[Page], training: Callable[[], EvaluationSet] | None = None) -> EvaluationSet:
    return EvaluationSet(
        name,
        [page.scene.draw(256) for page in pages],
        [page.long.text for page in pages],
        [page.short.text for page in pages],
        [page.family for page in pages] if pages[0].family else [],
        [page.scene.subject.kind for page in pages],
        pages=pages,
        training=training,
    )
