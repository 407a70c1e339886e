from __future__ import annotations

from threading import Thread

import numpy as np
import pytest
from sklearn.decomposition import PCA
from tqdm import tqdm

from longclip import projection
from longclip.projection import FEWEST, Map, ProjectionError, Projector, Settings, warm_up


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clusters(count: int, dim: int = 16, groups: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows about a few centres, and the group of each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % groups
    centres = unit(np.random.default_rng(5).standard_normal((groups, dim)))
    return unit(centres[labels] + 0.15 * rng.standard_normal((count, dim))), labels


def two_models(count: int = 150) -> list[np.ndarray]:
    """The same items by a model, and by another one: turned into another space, with noise."""
    rng = np.random.default_rng(1)
    first, _ = clusters(count)
    turn = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    return [first, unit(first @ turn + 0.05 * rng.standard_normal(first.shape))]


def apart(maps: list[Map]) -> float:
    """Mean distance of the two points of an item, in units of the first map's spread."""
    first, second = (map.points for map in maps)
    return float(np.linalg.norm(first - second, axis=1).mean() / first.std())


def test_pca_is_that_of_scikit_learn():
    vectors, _ = clusters(60)
    [made] = Projector().project([vectors], Settings("pca"))
    expected = PCA(2).fit(vectors)
    signs = np.sign((made.points * expected.transform(vectors)).sum(axis=0))
    assert np.allclose(made.points * signs, expected.transform(vectors), atol=1e-4)
    assert made.variance == pytest.approx(expected.explained_variance_ratio_.sum(), abs=1e-5)
    new, _ = clusters(5, seed=9)
    assert np.allclose(made.place(new) * signs, expected.transform(new), atol=1e-4)


def test_pca_of_the_second_model_lies_like_the_first():
    """A turned copy of the same vectors has the same map, mirrored or not."""
    vectors, _ = clusters(80)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((16, 16)))[0].astype(np.float32)
    first, second = Projector().project([vectors, vectors @ turn], Settings("pca"))
    assert np.allclose(first.points, second.points, atol=1e-4)
    assert np.allclose(second.place(vectors[:3] @ turn), first.points[:3], atol=1e-4)


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((7, 4)), np.eye(2, 4), np.array([[0.6, 0.8]] * 3)])
def test_pca_of_almost_nothing(vectors):
    [made] = Projector().project([vectors], Settings("pca"))
    assert made.points.shape == (len(vectors), 2) and np.isfinite(made.points).all() and 0 <= made.variance <= 1
    assert np.allclose(made.place(vectors), made.points, atol=1e-6)


@pytest.mark.slow
def test_aligned_maps_hold_an_item_together():
    sets = two_models()
    projector = Projector()
    aligned, separate = (apart(projector.project(sets, Settings(method))) for method in ("aligned-umap", "umap"))
    print(f"mean distance of an item's points in units of spread: aligned {aligned:.3f}, apart {separate:.3f}")
    assert aligned < 0.7 * separate, "although the separate maps are turned to lie alike"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["umap", "aligned-umap", "t-sne"])
def test_same_seed_same_map_and_groups_stay_together(method):
    sets, labels = two_models(120), clusters(120)[1]
    once, again = (Projector().project(sets, Settings(method, seed=3)) for _ in range(2))
    other = Projector().project(sets, Settings(method, seed=4))
    for one, two in zip(once, again, strict=True):
        assert np.array_equal(one.points, two.points) and one.points.dtype == np.float32 and np.isfinite(one.points).all()
        centres = np.stack([one.points[labels == label].mean(axis=0) for label in range(6)])
        nearest = np.linalg.norm(one.points[:, None] - centres, axis=2).argmin(axis=1)
        assert (nearest == labels).mean() > 0.95
        new, new_labels = clusters(30, seed=7)
        if one is once[0]:
            placed = np.linalg.norm(one.place(new)[:, None] - centres, axis=2).argmin(axis=1)
            assert (placed == new_labels).mean() > 0.95
        assert np.allclose(one.place(one.vectors[:9]), one.points[:9], atol=1e-2 * one.points.std())
    if method != "t-sne":
        assert not np.array_equal(once[0].points, other[0].points)


def test_maps_are_kept_by_content(tmp_path, monkeypatch):
    fitted: list[int] = []

    def fit(sets, settings, progress):
        fitted.append(len(sets))
        return np.stack([vectors[:, :2] for vectors in sets])

    monkeypatch.setitem(projection._FITS, "umap", fit)
    sets, settings = two_models(20), Settings("umap")
    projector = Projector(tmp_path / "maps")
    assert not projector.ready(sets, settings)
    first = projector.project(sets, settings)
    again = projector.project([vectors.copy() for vectors in sets], settings)
    assert projector.ready(sets, settings) and fitted == [2]
    other_process = Projector(tmp_path / "maps").project(sets, settings)
    assert fitted == [2] and np.array_equal(other_process[1].points, again[1].points)
    assert np.array_equal(first[0].points, sets[0][:, :2])
    for changed in (Settings("umap", seed=1), Settings("umap", metric="euclidean"), Settings("umap", neighbours=5)):
        projector.project(sets, changed)
    projector.project(sets[:1], settings)
    projector.project([sets[0] + 1e-3, sets[1]], settings)
    assert fitted == [2, 2, 2, 2, 1, 2]
    for file in (tmp_path / "maps").iterdir():
        file.write_bytes(b"words")
    Projector(tmp_path / "maps").project(sets, settings)
    assert len(fitted) == 7, "damaged files are made again"


@pytest.mark.slow
def test_umap_tells_how_far_it_is_and_can_be_stopped():
    seen: list[tuple[int, int]] = []
    sets = two_models(60)
    Projector().project(sets, Settings("umap"), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] > 0

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Projector().project(sets, Settings("umap"), stop)
    # tqdm's lock, which all bars of the process share, is free for others.
    free = []

    def take() -> None:
        with tqdm.get_lock():
            free.append(True)

    other = Thread(target=take, daemon=True)
    other.start()
    other.join(5)
    assert free == [True]


def test_place_by_hand():
    """Two neighbours at distances 1 and 2: weights 4 to 1. A copy lies on its point."""
    vectors = np.array([[0.0, 0.0], [3.0, 0.0], [99.0, 0.0]], np.float32)
    points = np.array([[0.0, 0.0], [10.0, 5.0], [70.0, 70.0]], np.float32)
    made = Map(vectors, points, Settings("umap", "euclidean", 2))
    assert np.allclose(made.place(np.array([[1.0, 0.0]])), [[2, 1]], atol=1e-5)
    assert np.allclose(made.place(vectors), points, atol=1e-3)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: Settings("lda"), "method 'lda' is unknown; there are pca, umap"),
        (lambda: Settings(metric="hamming"), "metric 'hamming' is unknown; there are cosine"),
        (lambda: Settings(neighbours=1), "1 neighbours; wanted 2 to 200"),
        (lambda: Projector().project([]), "wanted the same items in each"),
        (lambda: Projector().project([np.ones((3, 2)), np.ones((4, 2))]), r"sets of \[3, 4\] vectors"),
        (lambda: Projector().project([np.eye(FEWEST - 1)], Settings("umap")), "umap wants 5 points or more, and there are 4"),
        (lambda: Projector().project([np.ones((9, 3))], Settings("t-sne")), "all 9 points are the same"),
    ],
)
def test_refusals(work, message):
    with pytest.raises(ProjectionError, match=message):
        work()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["umap", "aligned-umap", "t-sne"])
def test_the_smallest_maps(method):
    few = unit(np.random.default_rng(0).standard_normal((FEWEST, 3)))
    halves = unit(np.repeat(np.eye(3), 10, axis=0))
    for sets in ([few], [few, -few], [halves, halves]):
        for made in Projector().project(sets, Settings(method)):
            assert made.points.shape == (len(sets[0]), 2) and np.isfinite(made.points).all()


@pytest.mark.slow
def test_warm_up():
    warm_up()
