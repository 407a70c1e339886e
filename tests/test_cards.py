"""HTML of results and of texts as models read them."""

from __future__ import annotations

import numpy as np
from forms import PAIR

from demos.retrieval import cards, reading
from demos.retrieval.ranking import Ranking
from demos.selection import TO_PICTURES


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
