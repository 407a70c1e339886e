"""Zero-shot classification of what a picture mainly shows (Radford et al., arXiv 2103.00020, section 3.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..retrieval import top_k
from .features import Features
from .retrieval import percent

PLAIN = ("A {}.", "A picture of a {}.", "There is a {}.", "We see a {}.")
TEMPLATES = ("plain", "simple", "openai")


def measure_zeroshot(features: Features, templates: tuple[str, ...] = PLAIN) -> dict[str, float]:
    """Accuracy in percent over the classes there are, each the normalised mean of its templates' features.

    Also how often the right class is among the best five, where there are more than five, and the accuracy averaged over
    the classes that occur ("mean per class").
    """
    data = features.data
    classes = sorted(set(data.class_names or data.classes))
    weights = class_features(features, classes, templates)
    number_of = {name: number for number, name in enumerate(classes)}
    truth = np.array([number_of[name] for name in data.classes])
    chosen, _ = top_k(features.images, weights, 5)
    right = chosen[:, 0] == truth
    per_class = [right[truth == number].mean() for number in np.unique(truth)]
    found = {"zero-shot accuracy": percent(right.mean()), "zero-shot accuracy, mean per class": percent(np.mean(per_class))}
    if len(classes) > 5:
        found["zero-shot top-5 accuracy"] = percent((chosen == truth[:, None]).any(axis=1).mean())
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
    lines = tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())
    wrong = [line for line in lines if "{}" not in line]
    if wrong or not lines:
        raise ValueError(f"{path} has {f'the line {wrong[0]!r}' if wrong else 'no line'}; wanted {{}} where the class belongs")
    return lines
