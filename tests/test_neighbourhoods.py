from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness as expected_trustworthiness
from test_projection import clusters, unit

from longclip.neighbourhoods import modality_gap, neighbourhood_overlap, neighbours, trustworthiness


def test_neighbours_are_the_nearest_others():
    vectors, _ = clusters(50)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    assert np.array_equal(neighbours(vectors, 6), np.argsort(-cosines, axis=1)[:, :6])
    assert np.array_equal(neighbours(vectors, 6, [3, 40]), np.argsort(-cosines, axis=1)[[3, 40], :6])


def test_neighbours_among_copies():
    found = neighbours(np.ones((9, 1), np.float32), 3)
    assert found.shape == (9, 3) and all(row not in others for row, others in enumerate(found.tolist()))


def test_overlap_by_hand():
    """On a circle the neighbours are those beside; in the other model a point's place is taken by the one across."""
    angles = np.arange(8) * np.pi / 4
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert neighbourhood_overlap(circle, circle, 2).tolist() == [1] * 8
    swapped = circle[[4, 1, 2, 3, 0, 5, 6, 7]]
    assert neighbourhood_overlap(circle, swapped, 2).tolist() == [0, 0.5, 1, 0.5, 0, 0.5, 1, 0.5]


def test_overlap_equals_sets():
    first, second = clusters(70, seed=1)[0], unit(np.random.default_rng(2).standard_normal((70, 5)))
    expected = [len(set(a) & set(b)) / 7 for a, b in zip(neighbours(first, 7), neighbours(second, 7), strict=True)]
    assert np.allclose(neighbourhood_overlap(first, second, 7), expected) and 0 < np.mean(expected) < 0.5
    assert np.allclose(neighbourhood_overlap(first, second, 7, rows=np.array([3, 60])), [expected[3], expected[60]])


@pytest.mark.parametrize("k", [3, 15])
def test_trustworthiness_is_that_of_scikit_learn(k):
    vectors, _ = clusters(120)
    for points in (vectors[:, :2], np.random.default_rng(0).standard_normal((120, 2))):
        expected = expected_trustworthiness(vectors, points, n_neighbors=k, metric="cosine")
        assert trustworthiness(vectors, points, k) == pytest.approx(expected, abs=1e-9)
        sampled = trustworthiness(vectors, points, k, sample=60)
        assert sampled == pytest.approx(expected, abs=0.05) and sampled != expected


def test_modality_gap_by_hand():
    images, texts = np.array([[1, 0], [0, 1]], np.float32), np.array([[-1, 0], [0, -1]], np.float32)
    assert modality_gap(images, texts) == pytest.approx(np.sqrt(2)) and modality_gap(images, images) == 0


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: neighbours(np.eye(3), 3), "3 neighbours of 3 points; wanted 1 to 2"),
        (lambda: neighbourhood_overlap(np.eye(3), np.eye(4)), "3 and 4 vectors"),
        (lambda: trustworthiness(np.eye(4), np.eye(4, 2), 2), "needs more than 4 points; there are 4"),
    ],
)
def test_refusals(work, message):
    with pytest.raises(ValueError, match=message):
        work()
