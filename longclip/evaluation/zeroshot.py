"""Zero-shot classification of what a picture mainly shows (Radford et al., arXiv 2103.00020, section 3.1)."""

from __future__ import annotations

import numpy as np

from ..encoder import Encoder
from .data import EvaluationSet

TEMPLATES = ("A {}.", "A picture of a {}.", "There is a {}.", "We see a {}.")


def measure_zeroshot(encoder: Encoder, data: EvaluationSet, templates: tuple[str, ...] = TEMPLATES) -> dict[str, float]:
    """Accuracy in percent over the classes that occur, each the normalised mean of its templates' features."""
    classes = sorted(set(data.classes))
    weights = class_features(encoder, classes, templates)
    chosen = (encoder.encode_image(data.pictures) @ weights.T).argmax(axis=1)
    right = np.array([classes[i] == name for i, name in zip(chosen, data.classes, strict=True)])
    return {"zero-shot accuracy": round(100 * float(right.mean()), 2), "classes": len(classes)}


def class_features(encoder: Encoder, classes: list[str], templates: tuple[str, ...]) -> np.ndarray:
    """Features [classes, dim] of unit length."""
    texts = [template.format(name) for name in classes for template in templates]
    features = encoder.encode_text(texts).reshape(len(classes), len(templates), -1).mean(axis=1)
    return features / np.linalg.norm(features, axis=1, keepdims=True)
