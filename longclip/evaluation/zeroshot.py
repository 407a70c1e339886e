"""Zero-shot classification of what a picture mainly shows (Radford et al., arXiv 2103.00020, section 3.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..retrieval import recall, retrieval_ranks
from ..textfiles import read_text, split_lines
from .features import Features
from .retrieval import percent

PLAIN = ("A {}.", "A picture of a {}.", "There is a {}.", "We see a {}.")
TEMPLATES = ("plain", "simple", "openai")


def measure_zeroshot(features: Features, templates: tuple[str, ...] = PLAIN) -> dict[str, float]:
    """Accuracy in percent over the classes there are, each the normalised mean of its templates' features.

    Also how often the right class is among the best five, where there are more than five, and the accuracy averaged over
    the classes that occur ("mean per class"). A tie counts against: of two classes with one name, neither is ever right.
    """
    data = features.data
    classes = data.all_classes
    weights = class_features(features, list(classes.values()), templates)
    number_of = {key: number for number, key in enumerate(classes)}
    truth = np.array([number_of[key] for key in data.classes])
    places = retrieval_ranks(features.images, weights, truth)
    per_class = [recall(places[truth == number], 1) for number in np.unique(truth)]
    found = {
        "zero-shot accuracy": percent(recall(places, 1)),
        "zero-shot accuracy, mean per class": percent(np.mean(per_class)),
    }
    if len(classes) > 5:
        found["zero-shot top-5 accuracy"] = percent(recall(places, 5))
    return found | {"classes": len(classes)}


def class_features(features: Features, classes: list[str], templates: tuple[str, ...]) -> np.ndarray:
    """Features [classes, dim] of unit length."""
    texts = [template.replace("{}", name) for name in classes for template in templates]
    rows = features.of_texts(texts).reshape(len(classes), len(templates), -1).mean(axis=1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def read_templates(name: str) -> tuple[str, ...]:
    """Texts with {} in place of the class: four plain ones, open_clip's "simple" (7) or "openai" (80), or a file's lines.

    Raises ValueError for a name that is none of these, or a line without {}.
    """
    if name == "plain":
        return PLAIN
    if name in TEMPLATES:
        from open_clip import zero_shot_metadata

        return tuple(template("{}") for template in getattr(zero_shot_metadata, f"{name.upper()}_IMAGENET_TEMPLATES"))
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"templates {name!r} are unknown: wanted {', '.join(TEMPLATES)}, or a file with one a line")
    lines = {number: line.strip() for number, line in enumerate(split_lines(read_text(path)), start=1) if line.strip()}
    wrong = next((number for number, line in lines.items() if "{}" not in line), None)
    if wrong or not lines:
        what = f"line {wrong} of {path} is {lines[wrong]!r}" if wrong else f"{path} has no line"
        raise ValueError(f"{what}: wanted {{}} where the class belongs")
    return tuple(lines.values())
