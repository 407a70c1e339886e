"""Names of sets and figures of `longclip.evaluation`, in plain words."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What a set is, and what it asks of a model.
SETS = {
    "scenes": ("Scenes", "Each shows something else. A caption is to find its picture among all of them."),
    "hard families": (
        "Hard families",
        "Eight scenes share one summary and differ in details that the long caption tells. Compared within the family.",
    ),
    "late families": (
        "Late families",
        "Eight captions that agree to the letter up to token 77; what differs comes behind it. Compared within the family.",
    ),
}
_WITHIN = ", within families"

_RETRIEVAL, _CLASSES, _PROBE, _LENGTH, _ALIGNMENT = "Retrieval", "Zero-shot", "Linear probe", "Length", "Alignment"
_RECALL = re.compile(r"(long |short |)(text to image|image to text) R@(\d+)")
_MARGIN = re.compile(r"margin (text to image|image to text), (mean|median|negative \(%\))")
_CAPTIONS = {"long ": "long caption", "short ": "one-sentence summary", "": "caption"}


@dataclass(frozen=True)
class Label:
    """A figure in plain words. group: the measure it belongs to; better: 1 where more is better, -1 where less is, 0 where
    neither can be said; percent: whether it is one; main: whether it is shown at once."""

    group: str
    text: str
    better: int = 0
    percent: bool = False
    main: bool = False


_LABELS = {
    "zero-shot accuracy": Label(_CLASSES, "The picture's subject is named right", 1, True, True),
    "zero-shot accuracy, mean per class": Label(_CLASSES, "… with every kind of subject counting the same", 1, True),
    "zero-shot top-5 accuracy": Label(_CLASSES, "The right name is among the best five", 1, True),
    "classes": Label(_CLASSES, "Names to choose from"),
    "linear probe accuracy": Label(_PROBE, "A linear classifier on its picture features is right", 1, True, True),
    "linear probe C": Label(_PROBE, "Inverse strength of that classifier's penalty"),
    "linear probe training pictures": Label(_PROBE, "Pictures the classifier learned from"),
    "effective length": Label(_LENGTH, "Tokens it takes to come near its best", main=True),
    "temperature": Label(_ALIGNMENT, "Temperature: 1 / logit scale"),
    "mean positive cosine": Label(_ALIGNMENT, "Cosine of a picture and its caption, mean"),
    "mean negative cosine": Label(_ALIGNMENT, "Cosine of a picture and another's caption, mean"),
    "variance over sentences": Label(_ALIGNMENT, "How much the cosine varies over a caption's sentences"),
    "variance over captions": Label(_ALIGNMENT, "How much the cosine varies over a picture's captions"),
}


def describe_set(name: str) -> tuple[str, str]:
    """Title and explanation of a set."""
    if name.endswith(_WITHIN):
        return name.removesuffix(_WITHIN), "Pictures of one family only are compared with each other."
    return SETS.get(name, (name, "Your own data. A caption is to find its picture among all of them."))


def describe_figure(name: str) -> Label:
    """A figure in plain words; one that is not known here keeps its name."""
    if found := _RECALL.fullmatch(name):
        caption, place = _CAPTIONS[found[1]], "first" if found[3] == "1" else f"among the first {found[3]}"
        to_image = found[2] == "text to image"
        text = f"A {caption} finds its picture {place}" if to_image else f"A picture finds its {caption} {place}"
        return Label(_RETRIEVAL, text, 1, True, found[3] == "1")
    if found := _MARGIN.fullmatch(name):
        to_image = found[1] == "text to image"
        if found[2].startswith("negative"):
            text = "Captions that fit a wrong picture better" if to_image else "Pictures that fit a wrong caption better"
            return Label(_ALIGNMENT, text, -1, True, to_image)
        return Label(_ALIGNMENT, f"Margin of {'captions' if to_image else 'pictures'}, {found[2]}")
    return _LABELS.get(name, Label("Others", name))
