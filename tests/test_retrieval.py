from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from longclip.retrieval import ROUNDING, Answers, rank_all, ranks, reach, recall, retrieval_ranks, top_k

SIMILARITY = np.array(
    [
        [0.9, 0.1, 0.2],  # its own is best
        [0.5, 0.4, 0.6],  # two are better
        [0.7, 0.1, 0.7],  # one is as good: it counts against
    ]
)


def units(count: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_ranks_by_hand():
    assert ranks(SIMILARITY).tolist() == [0, 2, 1]
    assert ranks(SIMILARITY, [1, 2, 0]).tolist() == [2, 0, 1]
    assert ranks(SIMILARITY.T).tolist() == [0, 0, 0]


def test_several_positives_do_not_stand_before_each_other():
    assert ranks(SIMILARITY, [[1, 2], [0, 1], [0, 2]]).tolist() == [1, 1, 0]
    assert ranks(np.array([[0.5, 0.5, 0.5, 0.1]]), [[0, 1]]).tolist() == [1]


def test_a_constant_score_finds_nothing():
    assert ranks(np.zeros((4, 4))).tolist() == [3, 3, 3, 3]
    assert recall(ranks(np.zeros((4, 4))), 1) == 0


def test_scores_that_are_no_numbers_count_against():
    assert ranks(np.full((2, 2), np.nan)).tolist() == [1, 1]
    assert ranks(np.array([[0.5, np.nan, 0.1]]), [0]).tolist() == [1]


def test_tolerance():
    scores = np.array([[0.5, 0.49], [0.0, 1.0]])
    assert ranks(scores).tolist() == [0, 0] and ranks(scores, tolerance=0.02).tolist() == [1, 0]


def test_all_rows_are_ranked_as_each_would_be_alone():
    scores = np.array([0.5, 0.9, 0.5, np.nan, 0.1, 0.5 + ROUNDING / 2], dtype=np.float32)
    against, favourable = rank_all(scores)
    assert against.tolist() == [4, 1, 4, 5, 5, 4] and favourable.tolist() == [1, 0, 1, 5, 4, 1]
    assert reach(scores, 0).tolist() == [False, True, True, True, False, True] and reach(scores, 3).sum() == 5
    generator = np.random.default_rng(0)
    for count in (1, 2, 60):
        scores = generator.integers(0, 9, count).astype(np.float32) / 8 + generator.normal(size=count).astype(np.float32) * 5e-7
        scores[generator.random(count) < 0.1] = np.nan
        every = np.broadcast_to(scores, (count, count))
        against, favourable = rank_all(scores)
        assert against.tolist() == ranks(every, tolerance=ROUNDING).tolist() == [reach(scores, i).sum() for i in range(count)]
        known = np.nan_to_num(scores, nan=-2)
        assert favourable.tolist() == [(known > value + np.float32(ROUNDING)).sum() for value in known]


def test_recall_by_hand():
    found = np.array([0, 2, 1, 5])
    assert [recall(found, k) for k in (1, 2, 3, 6)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("chunk", [1, 7, 40, 123, 10**6])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_chunks_equal_the_whole_matrix(chunk, dtype):
    queries, gallery = units(50).astype(dtype), units(40, seed=1).astype(dtype)
    gallery[7] = gallery[3]
    positives = [[i % 40, (i * 7) % 40] for i in range(50)]
    whole = queries.astype(np.float32) @ gallery.astype(np.float32).T
    assert np.array_equal(retrieval_ranks(queries, gallery, positives, chunk=chunk), ranks(whole, positives, tolerance=1e-6))
    indices, scores = top_k(queries, gallery, 5, chunk=chunk)
    expected = np.argsort(-whole, axis=1, kind="stable")[:, :5]
    assert np.allclose(scores, np.take_along_axis(whole, expected, axis=1), atol=1e-6)


@pytest.mark.parametrize("chunk", [9, 10**6])
def test_answers_in_any_order_equal_lists(chunk):
    queries, gallery = units(20), units(30, seed=1)
    lists = [[i, 29 - i][: 1 + i % 2] for i in range(20)]
    pairs = [(query, row) for query, rows in enumerate(lists) for row in rows]
    np.random.default_rng(0).shuffle(pairs)
    answers = Answers(*np.array(pairs).T)
    assert np.array_equal(retrieval_ranks(queries, gallery, answers, chunk), retrieval_ranks(queries, gallery, lists))
    assert np.array_equal(ranks(queries @ gallery.T, answers), ranks(queries @ gallery.T, lists))


def test_recall_equals_torchmetrics():
    import torch
    from torchmetrics.retrieval import RetrievalHitRate

    queries, gallery = units(60), units(40, seed=1)
    positives = [[i % 40, (i * 7 + 1) % 40, 3][: 1 + i % 3] for i in range(60)]
    target = np.zeros((60, 40), bool)
    for query, rows in enumerate(positives):
        target[query, rows] = True
    scores, query = torch.from_numpy(queries @ gallery.T).flatten(), torch.arange(60).repeat_interleave(40)
    for k in (1, 5, 10):
        expected = RetrievalHitRate(top_k=k)(scores, torch.from_numpy(target).flatten(), indexes=query)
        assert recall(retrieval_ranks(queries, gallery, positives), k) == pytest.approx(float(expected))


def test_memory_is_that_of_a_chunk():
    queries, gallery = units(3000, dim=4), units(4000, dim=4, seed=1)
    tracemalloc.start()
    retrieval_ranks(queries, gallery, np.arange(3000), chunk=10_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000, "the whole matrix would take 48 MB"


def test_rounding_in_place_of_equality():
    """Two gallery rows that are the same but for the last bit are ties, whichever of them is asked for."""
    queries = units(100, dim=64)
    gallery = np.concatenate([queries, np.nextafter(queries, 0)])
    assert retrieval_ranks(queries, gallery, np.arange(100), chunk=300).min() == 1
    assert retrieval_ranks(queries, gallery, np.arange(100) + 100, chunk=300).min() == 1


def test_equal_rows_of_the_gallery_are_ties():
    queries = units(200, dim=512)
    gallery = np.concatenate([queries, queries])
    assert retrieval_ranks(queries, gallery, np.arange(200), chunk=1000).min() == 1


def test_top_k_by_hand():
    indices, scores = top_k(np.eye(2, dtype=np.float32), np.array([[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]), 2)
    assert indices.tolist() == [[2, 1], [0, 1]] and np.allclose(scores, [[1, 0.6], [1, 0.8]])


def test_top_k_leaves_ties_in_order():
    gallery = np.ones((6, 1))
    assert top_k(np.ones((1, 1)), gallery, 3)[0].tolist() == [[0, 1, 2]]
    assert top_k(np.ones((1, 1)), gallery, 99)[0].tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("chunk", [1, 50, 333, 10**6])
def test_top_k_of_parts_equals_that_of_the_whole(chunk):
    """Values of a small grid, whose sums are exact in any order: many ties, told apart by the gallery's order alone."""
    rng = np.random.default_rng(3)
    queries, gallery = (rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (30, 200))
    expected = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")[:, :9]
    parts = [gallery[:0], gallery[:1], gallery[1:70], gallery[70:70], gallery[70:]]
    assert np.array_equal(top_k(queries, parts, 9, chunk)[0], expected)
    assert np.array_equal(top_k(queries, gallery, 9, chunk)[0], expected)


def test_top_k_leaves_out_rows_that_are_no_number():
    gallery = np.array([[1.0], [np.nan], [3.0], [2.0]], np.float32)
    indices, scores = top_k(np.ones((1, 1)), gallery, 4)
    assert indices.tolist() == [[2, 3, 0, -1]] and scores.tolist() == [[3, 2, 1, -np.inf]]
    assert top_k(np.ones((2, 1)), [], 4)[0].shape == (2, 0)


def test_top_k_needs_little_memory():
    queries, gallery = units(50, dim=4), [units(20_000, dim=4, seed=seed) for seed in range(10)]
    tracemalloc.start()
    top_k(queries, gallery, 10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000, "the whole matrix would take 40 MB"


def test_no_queries():
    assert retrieval_ranks(units(0), units(3), []).shape == (0,)
    assert top_k(units(0), units(3), 2)[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ranks(np.zeros(3)), "wanted .queries, gallery."),
        (lambda: rank_all(np.zeros((1, 3))), "wanted .gallery."),
        (lambda: ranks(np.zeros((2, 3))), "say which rows answer which"),
        (lambda: ranks(np.zeros((2, 3)), [0]), "1 positives for 2 queries"),
        (lambda: ranks(np.zeros((2, 3)), [[0], []]), "query 1 has no positive"),
        (lambda: ranks(np.zeros((2, 3)), [0, 3]), "not all rows of a gallery of 3"),
        (lambda: ranks(np.zeros((2, 3)), Answers(np.array([0, 1, 2]), np.array([0, 1, 2]))), "there are 2"),
        (lambda: ranks(np.zeros((2, 3)), Answers(np.array([1]), np.array([0]))), "query 0 has no positive"),
        (lambda: recall(np.array([]), 1), "of no queries"),
        (lambda: recall(np.array([0]), 0), "k is 0"),
        (lambda: top_k(units(1), units(1), 0), "k is 0"),
        (lambda: retrieval_ranks(units(1), units(1, dim=3), [0]), "do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
