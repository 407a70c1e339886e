"""HTML of results and of texts as models read them."""

from __future__ import annotations

import numpy as np
import pytest
from forms import PAIR

from demos.retrieval import cards, reading
from demos.retrieval.ranking import Ranking
from demos.selection import TO_CAPTIONS, TO_PICTURES


def test_a_reading_marks_what_is_new_and_what_is_cut(context):
    tokenizer = context.encoder(PAIR[0]).tokenizer
    text = "A zeppelin & a <pig>. " + "A pig on a farm. " * 20
    html = reading.reading(context.models[PAIR[0]], text, tokenizer(text), tokenizer.known(text))
    assert '<u class="new">zeppelin</u> &amp; a &lt;pig&gt;' in html and "never saw" in html
    assert html.count("<s ") == 1 and "77 of" in html


def test_changes_of_rank_carry_a_mark_and_a_word(book):
    here, there = Ranking.of_scores("a", np.array([0.9, 0.5, 0.1])), Ranking.of_scores("b", np.array([0.1, 0.5, 0.9]))
    html = cards.ranked_cards(cards.Results(book.select(range(3)), TO_PICTURES, 0, frozenset()), here, there, "B")
    assert "▲ 2" in html and "▼ 2" in html and "2 places better than in B (rank 3 there)" in html
    assert 'class="card right up' in html


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_rows_that_score_the_same_have_the_worst_of_their_places(book, order):
    """Whatever stands first in the gallery."""
    scores = np.array([0.9, 0.5, 0.5 + 4e-7, 0.5, 0.1, np.nan], dtype=np.float32)[order]
    ranking = Ranking.of_scores("a", scores)
    assert ranking.ranks[order].tolist() == [2, 5, 5, 5, 6, 6], "a score that is no number counts against"
    assert ranking.order[-1] == np.flatnonzero(np.isnan(scores))
    right = int(np.flatnonzero(scores == np.float32(0.5))[0])
    alike = frozenset(np.flatnonzero(np.isclose(scores, 0.5)).tolist()) - {right}
    html = cards.ranked_cards(cards.Results(book.select(range(6)), TO_CAPTIONS, right, alike), ranking, None, "B")
    assert "<b>Right caption at rank 5</b>" in html and "ahead of all" not in html
    assert "4 captions score the same and share ranks 2 to 5" in html
    assert "2 of its 2 look-alikes score as high or higher" in html
    assert html.count("Ranks 2–5, cosine 0.500") == 3 and html.count('<span class="rank">2–5</span>') == 3


def test_look_alikes_are_counted_where_they_stand_before_the_right_one(book):
    ranking = Ranking.of_scores("a", np.array([0.5, 0.9, 0.8, 0.4, 0.3]))
    results = cards.Results(book.select(range(5)), TO_PICTURES, 0, frozenset({1, 3, 4}))
    html = cards.ranked_cards(results, ranking, None, "B")
    assert "1 of its 3 look-alikes score as high or higher" in html and "share ranks" not in html
    results = cards.Results(book.select(range(5)), TO_PICTURES, 1, frozenset({0, 3, 4}))
    assert "ahead of all its look-alikes" in cards.ranked_cards(results, ranking, None, "B")
