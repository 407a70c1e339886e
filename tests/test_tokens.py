from __future__ import annotations

import pytest
import torch
from conftest import CORPUS
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from longclip.tokens import Tokenizer, Word, pad
from longclip.vocabulary import reduce_vocabulary

LONG = "A grey heron stands on one leg in the shallow water, and behind it the reeds bend in the wind. " * 16
TEXTS = (
    "",
    "   \n\t ",
    "a",
    *CORPUS,
    LONG,
    "“Curly” quotes, an ellipsis… and it’s – well — dashed",
    "Straße, naïve CAFÉ, e\u0301clair, İstanbul, ΣΟΦΟΣ",
    "&lt;b&gt;bold&lt;/b&gt; &amp;amp; &quot;quoted&quot; &#233; &nbsp; &copy 5 &unknown;",
    "don't I'LL we're they've I'm he'd it's 'tis",
    "1234 3.14 12,000 x2",
    "日本語のテキスト、你好。한국어",
    "مرحبا بالعالم",
    "👩‍👩‍👧 🇫🇷 ok👍🏽 ❤️",
    "a\x00b\x07 c\x85d\u2028e\u200bf\ufeffg\x1ch",
    "\x1b[31mred\x1b[0m text",
    "cafÃ© dÃ©jÃ vu â€œquotedâ€\x9d",
    "ﬁne ﬂow ｆｕｌｌｗｉｄｔｈ Ⅳ ½",
    "!!! ??? ... -- #hashtag @name http://a.b/c?d=e&f=g",
    "x" * 3000,
    "no\u00a0break\u3000space",
    "\ud800 lone surrogate",
    "'ſ",
)
SPECIAL = ("<|endoftext|>", "<|startoftext|>", "<end_of_text>", "<start_of_text>", "a <|endoftext|> b")


@pytest.fixture(scope="module")
def theirs() -> SimpleTokenizer:
    return SimpleTokenizer()


@pytest.fixture(scope="module")
def full() -> Tokenizer:
    return Tokenizer.full(77)


@pytest.mark.parametrize("context_length", [77, 248])
def test_ids_are_open_clips(theirs, context_length):
    tokenizer = Tokenizer.full(context_length)
    batch = tokenizer.batch(TEXTS)
    expected = theirs(TEXTS, context_length=context_length)
    assert torch.equal(batch, expected[:, : batch.shape[1]])
    assert not expected[:, batch.shape[1] :].any()
    for text, row in zip(TEXTS, batch, strict=True):
        tokens = tokenizer(text)
        assert list(tokens.ids) == row[: len(tokens)].tolist(), text
        assert tokens.total == len(theirs.encode(text)) + 2, text


def test_ids_of_a_reduced_vocabulary_are_those_of_open_clips_wrapper(tiny_model_folder):
    folder = tiny_model_folder(248)
    wrapper = HFTokenizer(str(folder), context_length=248, clean="lower")
    tokenizer = Tokenizer.from_folder(folder)
    texts = [text for text in TEXTS if "\ud800" not in text and "ſ" not in text]
    for text, expected in zip(texts, wrapper(texts).tolist(), strict=True):
        ids = list(tokenizer(text).ids)
        assert expected[: len(ids)] == ids, text
        assert set(expected[len(ids) :]) <= {tokenizer.end_id}


@pytest.mark.parametrize("text", SPECIAL)
def test_text_that_spells_a_special_token_stays_text(full, text):
    ids = full(text).ids
    assert ids[0] == full.start_id and ids[-1] == full.end_id
    assert not {full.start_id, full.end_id} & set(ids[1:-1])
    assert list(ids) == full.batch([text])[0].tolist()


def spelled(tokenizer: Tokenizer, text: str) -> list[str]:
    tokens = tokenizer(text)
    return [text[start:end] for start, end in tokens.spans[1:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red fox", ["A", "red", "fox"]),
        ("  a\n dog ", ["a", "dog"]),
        ("&lt;b&gt; “Hi”", ["&lt;", "b", "&gt;", "“", "Hi", "”"]),
        ("&amp;amp; x", ["&amp;amp;", "x"]),
        ("it’s", ["it", "’s"]),
        ("CAFÉ", ["CAFÉ"]),
        ("e\u0301clair", ["e\u0301", "clair"]),
        ("\x1b[31mred\x1b[0m fox", ["red", "fox"]),
        ("a \x00b", ["a", "b"]),
        ("ﬁne", ["ﬁne"]),
        ("cafÃ© “noir”", ["cafÃ©", "“", "noir", "”"]),
    ],
)
def test_spans_are_the_characters_typed(full, text, expected):
    assert spelled(full, text) == expected


def test_each_token_of_one_character_has_its_span(full):
    assert set(spelled(full, "語")) == {"語"}
    assert len(spelled(full, "語")) == 2
    assert set(spelled(full, "İ")) == {"İ"}


@pytest.mark.parametrize("text", [text for text in TEXTS if text.isascii() and "&" not in text and "\x1b" not in text])
def test_spans_of_plain_text_spell_it(full, text):
    tokens = full(text)
    for index, (start, end) in zip(tokens.ids[1:-1], tokens.spans[1:-1], strict=True):
        assert full.tokens[index].removesuffix("</w>") == text[start:end].lower()


@pytest.mark.parametrize("text", TEXTS)
def test_spans_lie_in_the_text_and_in_order(full, text):
    tokens = full(text)
    assert len(tokens.spans) == len(tokens.ids) <= 77
    assert all(0 <= start <= end <= len(text) for start, end in tokens.spans)
    starts = [start for start, _ in tokens.spans]
    assert starts == sorted(starts)


def test_what_does_not_fit_is_the_exact_tail(full):
    tokens = full(LONG)
    assert tokens.ids[-1] == full.end_id and len(tokens) == 77 < tokens.total
    assert tokens.text[: tokens.unseen_start] + tokens.unseen == LONG
    assert tokens.spans[-2][1] <= tokens.unseen_start
    assert not tokens.text[tokens.spans[-2][1] : tokens.unseen_start].strip()
    assert full(tokens.unseen).total == tokens.total - 75
    assert full(CORPUS[0]).unseen == ""


def test_what_exactly_fits_has_no_tail(full):
    assert full("dog " * 75).unseen == "" and full("dog " * 75).total == 77
    assert full("dog " * 76).unseen == "dog "


def test_a_long_text_is_read_in_pieces_that_change_nothing(theirs):
    tokenizer = Tokenizer.full(12_000)
    for text in (LONG * 30, "“quoted” &amp; é " * 4000, "语" * 50_000):
        assert list(tokenizer(text).ids)[1:-1] == theirs.encode(text)[: 12_000 - 2]
        assert tokenizer(text).total == len(theirs.encode(text)) + 2


def test_a_tail_that_begins_in_a_later_piece():
    text = " " * 30_000 + "dog " * 4 + " " * 30_000 + "cat"
    tokens = Tokenizer.full(6)(text)
    assert tokens.unseen == "cat" and tokens.total == 7
    assert Tokenizer.full(6).batch([text])[0].tolist() == list(tokens.ids)


@pytest.mark.parametrize("text", ["word " * 20_000, "“é” &amp; " * 10_000, "語" * 100_000, "&" * 100_000, "🎉" * 100_000])
@pytest.mark.timeout(120)  # a second's work; hours where the time grows with the square of the length
def test_a_hundred_thousand_characters_are_quick(full, text):
    full(text)
    full.batch([text])


def test_filled_is_as_wide_as_asked_and_ends_with_end_tokens(full):
    texts = ["a kite", "a red kite " * 20]
    longest = len(full(texts[1]).ids)
    for least, width in ((None, full.context_length), (5, longest), (70, 70)):
        ids = full.filled(texts, least)
        assert ids.shape == (2, width)
        assert ids[0, :4].tolist() == list(full("a kite").ids) and set(ids[0, 3:].tolist()) == {full.end_id}


def test_batch_is_as_wide_as_its_longest_text(full):
    assert full.batch(["a red fox", "a"]).tolist() == [
        [49406, 320, 736, 3240, 49407],
        [49406, 320, 49407, 0, 0],
    ]
    assert full.batch([LONG, "a"]).shape == (2, 77)
    assert full.batch([]).shape == (0, 0)
    assert pad([[1, 2], [3]]).tolist() == [[1, 2], [3, 0]]


def test_known_words(tiny_model_folder):
    tokenizer = Tokenizer.from_folder(tiny_model_folder(77))
    assert tokenizer.known("A  zebra’s Fox, CAFÉ") == (
        Word("A", 0, 1, True),
        Word("zebra", 3, 8, False),
        Word("s", 9, 10, True),
        Word("Fox", 11, 14, True),
        Word("CAFÉ", 16, 20, True),
    )
    assert all(word.known for word in Tokenizer.full(77).known("a zorblax"))


def test_save_and_lengthen(tmp_path):
    tokenizer = Tokenizer(*reduce_vocabulary(CORPUS), context_length=77, words=["fox"])
    longer = tokenizer.with_length(248)
    longer.save(tmp_path)
    read = Tokenizer.from_folder(tmp_path)
    assert read.context_length == 248 and read.words == {"fox"}
    assert read(CORPUS[1]).ids == tokenizer(CORPUS[1]).ids
    assert Tokenizer.from_folder(tmp_path, 77).context_length == 77


def test_vocabulary_and_merges_in_two_files(tmp_path):
    import json

    vocab, merges = reduce_vocabulary(CORPUS)
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)) + "\n", encoding="utf-8")
    assert Tokenizer.from_folder(tmp_path, 77)(CORPUS[0]) == Tokenizer(vocab, merges, 77)(CORPUS[0])


def test_what_is_no_tokenizer_is_refused(tmp_path, tiny_model_folder):
    with pytest.raises(FileNotFoundError, match="wanted tokenizer.json, or vocab.json and merges.txt"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    with pytest.raises(ValueError, match="not a CLIP tokenizer"):
        Tokenizer.from_folder(tmp_path)
    with pytest.raises(ValueError, match="need 2"):
        Tokenizer(*reduce_vocabulary(CORPUS), context_length=1)
    with pytest.raises(ValueError, match="has no <|startoftext|>"):
        Tokenizer({"a": 0}, [], 77)
    with pytest.raises(ValueError, match="tokens, the model 7"):
        Tokenizer.of_model(tiny_model_folder(77), 7, 77)
