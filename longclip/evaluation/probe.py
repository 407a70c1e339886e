"""Linear probe: a logistic regression on frozen picture features (Radford et al., arXiv 2103.00020, appendix A.3)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .features import Features
from .retrieval import percent

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

# Inverse strengths of the L2 penalty: first these, then those between the neighbours of the best, half as far apart each time.
STRENGTHS = (1e-2, 1e0, 1e2, 1e4)
HALVINGS = 2
STEPS = 300
TEST_SHARE = VALIDATION_SHARE = 0.2


def measure_probe(features: Features, seed: int = 0) -> dict[str, float]:
    """Accuracy in percent of the best logistic regression (L-BFGS) on the pictures' features, over their classes.

    It learns from `data.training` and is tested on the set; without it, from a random 80 % of the set, tested on the rest.
    The strength of its penalty is the one that is best on a fifth of what it learns from, and it is fitted to all of that in
    the end. Also the number of pictures it learned from, the inverse strength "C", and how many of the classes it is tested
    on it never saw, if any. Raises ValueError for one class only.
    """
    x, y, test_x, test_y = _parts(features, seed)
    if len(set(y)) < 2:
        raise ValueError(f"the {len(y)} pictures to learn from are of {len(set(y))} class: a probe wants two or more")
    # With mean 0 and deviation 1 the same strengths suit any encoder.
    mean, deviation = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64) + 1e-8
    x, test_x = (x - mean) / deviation, (test_x - mean) / deviation
    unknown = sorted(set(test_y) - set(y))
    strength = choose_strength(x, y, seed)
    right = fit(x, y, strength).predict(test_x) == test_y
    figures = {
        "linear probe accuracy": percent(right.mean()),
        "linear probe C": float(f"{strength:.3g}"),
        "linear probe training pictures": len(y),
    }
    return figures | ({"linear probe classes without training pictures": len(unknown)} if unknown else {})


def choose_strength(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """The inverse strength that does best on a random fifth of rows x [n, dim] of classes y, learning from the others."""
    validation, training = _split(len(y), VALIDATION_SHARE, seed)
    if len(set(y[training])) < 2:
        return 1.0
    scores: dict[float, float] = {}

    def best() -> float:
        # Of equally good ones the strongest penalty.
        return max(scores, key=lambda c: (scores[c], -c))

    candidates: Sequence[float] = STRENGTHS
    for halving in range(HALVINGS + 1):
        for c in candidates:
            scores[c] = fit(x[training], y[training], c).score(x[validation], y[validation])
        step = (STRENGTHS[1] / STRENGTHS[0]) ** (0.5 ** (halving + 1))
        candidates = [best() / step, best() * step]
    return best()


def fit(x: np.ndarray, y: np.ndarray, strength: float) -> LogisticRegression:
    """A scikit-learn LogisticRegression of rows x [n, dim] of classes y."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # A fit that is not done after so many steps is taken as it is, and classes may well have one picture each.
        warnings.simplefilter("ignore")
        return LogisticRegression(C=strength, solver="lbfgs", max_iter=STEPS).fit(x, y)


def _parts(features: Features, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features and classes to learn from, then those to test on."""
    data = features.data
    x, y = features.images, np.array(data.classes)
    if data.training is None:
        test, training = _split(len(y), TEST_SHARE, seed)
        return x[training], y[training], x[test], y[test]
    others = data.training()
    if not features.broken:
        return features.of_pictures(others.pictures), np.array(others.classes), x, y
    readable, learned, _ = features.of_readable(others.pictures)
    return learned, np.array(others.classes)[readable], x, y


def _split(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random numbers below `count`, a share of them (at least one) and the others."""
    order = np.random.default_rng(seed).permutation(count)
    first = max(1, round(count * share))
    return order[:first], order[first:]
