from __future__ import annotations

import pytest
from conftest import CORPUS
from open_clip.tokenizer import SimpleTokenizer

from longclip.tokenizer_files import save_tokenizer
from longclip.tokens import Tokenizer
from longclip.vocabulary import END, START, byte_symbols, distinct_words, full_vocabulary, reduce_vocabulary


@pytest.fixture(scope="module")
def theirs() -> SimpleTokenizer:
    return SimpleTokenizer()


def test_full_vocabulary_is_clips(theirs):
    vocab, merges = full_vocabulary()
    assert len(vocab) == 49408
    assert list(vocab)[:-2] == list(theirs.encoder)[:-2]
    assert (vocab[START], vocab[END]) == (theirs.sot_token_id, theirs.eot_token_id)
    assert {merge: rank for rank, merge in enumerate(merges)} == theirs.bpe_ranks


def test_byte_symbols_are_clips(theirs):
    assert dict(enumerate(byte_symbols())) == theirs.byte_encoder


def test_reduced_vocabulary_is_bytes_merges_start_end():
    vocab, merges = reduce_vocabulary(CORPUS)
    tokens = list(vocab)
    assert len(vocab) == 512 + len(merges) + 2
    assert tokens[512:-2] == ["".join(merge) for merge in merges]
    assert tokens[-2:] == [START, END]
    assert list(vocab.values()) == list(range(len(vocab)))


def test_reduced_merges_keep_clips_order():
    order = {merge: rank for rank, merge in enumerate(full_vocabulary()[1])}
    ranks = [order[merge] for merge in reduce_vocabulary(CORPUS)[1]]
    assert ranks == sorted(ranks)


def test_corpus_splits_as_in_clip(theirs):
    reduced = Tokenizer(*reduce_vocabulary(CORPUS), context_length=248)
    for text in CORPUS:
        ours = [reduced.tokens[index] for index in reduced(text).ids[1:-1]]
        assert ours == [theirs.decoder[index] for index in theirs.encode(text)]


def test_other_words_fall_into_more_tokens():
    reduced, full = Tokenizer(*reduce_vocabulary(CORPUS), context_length=77), Tokenizer.full(77)
    assert reduced("xylophone").total > full("xylophone").total


def test_no_merge_is_superfluous():
    corpus = CORPUS[:1]
    vocab, merges = reduce_vocabulary(corpus)
    for dropped in merges[:: len(merges) // 8]:
        without = Tokenizer(vocab, [merge for merge in merges if merge != dropped], 248)
        assert without(corpus[0]).total > Tokenizer(vocab, merges, 248)(corpus[0]).total


def test_the_order_of_texts_changes_nothing():
    assert reduce_vocabulary(CORPUS) == reduce_vocabulary(reversed(CORPUS))


def test_distinct_words():
    assert distinct_words(["A cat, a CAFÉ; 12 cats don&apos;t"]) == {"a", "cat", "café", "cats", "don", "t"}


def test_saved_tokenizer_is_what_transformers_and_we_read(tmp_path):
    from transformers import CLIPTokenizer

    vocab, merges = reduce_vocabulary(CORPUS)
    save_tokenizer(tmp_path, vocab, merges, 248, words=distinct_words(CORPUS))
    theirs, ours = CLIPTokenizer.from_pretrained(str(tmp_path)), Tokenizer.from_folder(tmp_path)
    assert theirs.model_max_length == ours.context_length == 248
    assert ours.vocab == vocab and ours.merges == merges
    assert ours.words == distinct_words(CORPUS)
    for text in CORPUS:
        assert theirs(text).input_ids == list(ours(text).ids)
