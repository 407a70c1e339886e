"""Units of a caption: which characters and tokens they hold."""

from __future__ import annotations

import pytest
from conftest import CORPUS

from longclip.attribution.units import LEVELS, split_units
from longclip.tokens import Tokenizer
from longclip.vocabulary import reduce_vocabulary

TEXTS = (
    *CORPUS,
    "fox fox  fox,fox fox",
    'black-and-white, 3.5 metres... (really?!) "quoted" don\'t',
    "שלום עולם! مرحبا بالعالم",
    "狐狸 跳。カタカナ ひらがな ไทยภาษา",
    "🦊🐻 👨‍👩‍👧 😂😂😂 e\u0301",
    "caf&eacute; &amp;amp; fox",
    "\u200b",
)


@pytest.fixture(scope="module", params=["full", "reduced"])
def vocabulary(request):
    return Tokenizer.full(248) if request.param == "full" else Tokenizer(*reduce_vocabulary(CORPUS), 248)


def spelled(text, tokenizer, level="words"):
    return [unit.text for unit in split_units(tokenizer(text), level)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", [248, 20, 6])
def test_every_character_and_every_token_is_in_one_unit(vocabulary, text, level, length):
    tokens = vocabulary.with_length(length)(text)
    units = split_units(tokens, level)
    assert "".join("".join(unit.text.split()) for unit in units) == "".join(text.split())
    assert all(text[unit.start : unit.end] == unit.text for unit in units)
    assert [place for unit in units for place in unit.tokens] == list(range(1, len(tokens) - 1))
    for unit in units:
        for place in unit.tokens:
            start, end = tokens.spans[place]
            assert unit.start <= start and end <= unit.end
        assert unit.start <= tokens.unseen_start if unit.seen else unit.start >= tokens.unseen_start
        assert unit.read_end == (min(unit.end, max(unit.start, tokens.unseen_start)) if unit.seen else unit.start)


def test_words_are_those_that_people_see():
    full = Tokenizer.full(248)
    assert spelled("It's a black-and-white fox, isn't it?!", full) == [
        *("It's", "a", "black", "-", "and", "-", "white", "fox", ",", "isn't", "it", "?!")
    ]
    assert spelled("3.5 שלום עולם", full) == ["3.5", "שלום", "עולם"]
    assert spelled("狐狸跳。 カタカナ ไทยภาษา", full) == ["狐", "狸", "跳", "。", "カタカナ", "ไทยภาษา"]
    assert spelled("🦊🐻👨‍👩‍👧 e\u0301", full) == ["🦊", "🐻", "👨‍👩‍👧", "e\u0301"]
    assert [unit.mark for unit in split_units(full("fox, 🦊!"))] == [False, True, False, True]


def test_words_that_share_a_token_are_one():
    full = Tokenizer.full(248)
    assert spelled("😂😂😂 ok", full) == ["😂😂😂", "ok"], "CLIP has a token of three laughing faces"
    assert spelled("caf&eacute; &amp;amp; fox", full) == ["caf&eacute;", "&amp;amp;", "fox"]


def test_phrases_and_sentences():
    text = "A small fox sits on the sand, beside a pond (really) with ducks and geese. Behind it, an off-white barn at 12:30."
    full = Tokenizer.full(248)
    assert spelled(text, full, "phrases") == [
        "A small fox sits",
        "on the sand,",
        "beside a pond (really)",
        "with ducks",
        "and geese.",
        "Behind it,",
        "an off-white barn",
        "at 12:30.",
    ]
    assert spelled(text, full, "sentences") == [text[: text.index(" Behind")], text[text.index("Behind") :]]


def test_words_behind_the_last_token_are_unseen_and_one_may_be_cut():
    tokenizer = Tokenizer(*reduce_vocabulary(CORPUS), 8)
    text = "A red fox unheardof pond"
    units = split_units(tokenizer(text))
    assert [unit.seen for unit in units] == [True, True, True, True, False]
    cut = units[3]
    assert cut.start < cut.read_end < cut.end and cut.read_end == tokenizer(text).unseen_start
    assert units[4].read_end == units[4].start and not units[4].tokens
    sentence = split_units(tokenizer(text), "sentences")[0]
    assert sentence.seen and sentence.read_end == cut.read_end
