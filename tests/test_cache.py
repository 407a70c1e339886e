"""The store of embeddings: what it keeps, counts and drops."""

from __future__ import annotations

import numpy as np
import pytest

from longclip.cache import EmbeddingCache, content_key

# Bytes of a row of two float32 under a key of one letter.
ROW = 9


def row(value: float) -> np.ndarray:
    return np.full(2, value, np.float32)


def test_the_least_recently_used_is_dropped_first():
    cache = EmbeddingCache(3 * ROW)
    for number, key in enumerate((b"a", b"b", b"c")):
        cache.put(key, row(number))
    assert cache.bytes == 3 * ROW and len(cache) == 3, "all that there is room for"
    assert cache.get(b"a").tolist() == [0, 0]
    cache.put(b"d", row(3))
    assert cache.get(b"b") is None and cache.get(b"c") is not None and cache.bytes == 3 * ROW
    assert (cache.hits, cache.misses) == (2, 1)


def test_a_row_that_is_put_again_replaces_the_other():
    cache = EmbeddingCache()
    cache.put(b"a", row(1))
    cache.put(b"a", row(2))
    assert cache.get(b"a").tolist() == [2, 2] and (len(cache), cache.bytes) == (1, ROW)
    cache.put(b"a", row(3)[:1])
    assert (len(cache), cache.bytes) == (1, ROW - 4)
    cache.clear()
    assert cache.get(b"a") is None and (len(cache), cache.bytes) == (0, 0)


def test_what_is_too_large_drops_nothing():
    cache = EmbeddingCache(ROW)
    cache.put(b"a", row(1))
    cache.put(b"b", np.zeros(3, np.float32))
    assert cache.get(b"a") is not None and cache.get(b"b") is None
    nothing = EmbeddingCache(0)
    nothing.put(b"a", row(1))
    assert len(nothing) == 0
    with pytest.raises(ValueError, match="max_bytes is -1; wanted 0"):
        EmbeddingCache(-1)


def test_rows_are_copies_that_nobody_can_write_to():
    cache, given = EmbeddingCache(), row(1)
    cache.put(b"a", given)
    given[:] = 7
    assert cache.get(b"a").tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        cache.get(b"a")[0] = 7


def test_keys_tell_kind_model_and_content_apart():
    keys = {
        content_key(*parts) for parts in (("text", "m", b"x"), ("image", "m", b"x"), ("text", "n", b"x"), ("text", "m", b"y"))
    }
    assert len(keys) == 4 and {len(key) for key in keys} == {20}
    assert content_key("text", "ab", b"c") != content_key("text", "a", b"bc")
    assert content_key("text", "m", b"x") == content_key("text", "m", b"x")
