"""Sentences of the user's text."""

from __future__ import annotations

import pytest

from longclip.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It is 3.5 m long. A dog.", ["It is 3.5 m long.", "A dog."]),
        ("Fruit, e.g. an apple, lies there. Good.", ["Fruit, e.g. an apple, lies there.", "Good."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("no stop at all", ["no stop at all"]),
        ("A first.\n\nand a second", ["A first.", "and a second"]),
        ("一只狗。两只猫。", ["一只狗。", "两只猫。"]),
        ("  padded.  Next one.  ", ["padded.", "Next one."]),
        ("Wait... What?", ["Wait...", "What?"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences_are_split_and_keep_their_characters(text, sentences):
    assert [text[start:end] for start, end in split_sentences(text)] == sentences
