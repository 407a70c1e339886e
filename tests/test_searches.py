"""Searches on good and bad input: what is found, and the sentences where nothing is."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from forms import PAIR, form, found

from demos.context import Context, Unavailable
from demos.examples import EXAMPLES, example_row
from demos.retrieval import cards
from demos.retrieval.query import settle
from demos.retrieval.ranking import rank_by_sentences, rank_gallery
from demos.retrieval.searches import Searches
from demos.selection import PICTURE_BOOK, TO_CAPTIONS, Selection
from demos.work import Progress
from longclip.retrieval import retrieval_ranks

HOSTILE = {
    "emoji": "😀🐈‍⬛🏳️‍🌈" * 40,
    "controls": "a\x00b\x1b[31mc\x7f\u202ereversed\u2066",
    "markup": '<script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt; " onmouseover="x',
    "template": "${alert(1)} {{value}} {%raw%}",
    "special": "<|endoftext|> <end_of_text>",
    "long": "a red fox, " * 9_091,
    "spaces": "\n\t fox \n\n" * 200,
    "surrogate": "half \ud83d of a character",
}


def test_a_caption_is_known_by_its_words_and_ranks_its_picture(book, searches):
    row = example_row(book, EXAMPLES[0])
    shown = found(searches, *form(book.captions[row]))
    assert shown["selection"].picture == book.ids[row]
    assert "77 of " in shown["left_text"] and "<s " in shown["left_text"] and "<s " not in shown["right_text"]
    for side in ("left", "right"):
        assert shown[side].count('class="card') >= cards.SHOWN
        assert shown[side].count("right picture") == 2  # in the tooltip and on the card
        assert "Right picture at rank" in shown[side]
    assert shown["note"] == "" and shown["stop"]["visible"] is False


def test_a_search_agrees_with_the_library(book, context, searches):
    row = example_row(book, EXAMPLES[1])
    encoder = context.encoder(PAIR[1])
    rank = retrieval_ranks(encoder.encode_text([book.captions[row]]), book.embed(encoder), [row])[0] + 1
    assert f"Right picture at rank {rank:,}<" in found(searches, *form(book.captions[row]))["right"]
    points = rank_by_sentences(context, settle(context, *form(book.captions[row])), PAIR[1])
    assert points[-1].rank == rank and points[0].sentences == 1
    assert [point.tokens for point in points] == sorted(point.tokens for point in points)


def test_each_side_is_compared_with_the_other(book, context, searches):
    row = example_row(book, EXAMPLES[0])
    shown = found(searches, *form(book.captions[row]))
    here, there = (rank_gallery(context, shown["selection"], name) for name in PAIR)
    for side, own, other, title in (("left", here, there, "Long-CLIP"), ("right", there, here, "CLIP")):
        cards_shown = re.findall(r'data-pick="([^"]*)" title="Rank ([0-9,]+), cosine ([-0-9.]+), ([^"]*)"', shown[side])
        rows = [book.index(id) for id, *_ in cards_shown]
        best = np.argsort(-own.scores, kind="stable")[: cards.SHOWN].tolist()
        assert rows == best + [row] * (row not in best)
        for at, (_, rank, score, said) in zip(rows, cards_shown, strict=True):
            assert (int(rank.replace(",", "")), score) == (own.ranks[at], f"{own.scores[at]:.3f}")
            gain = int(other.ranks[at] - own.ranks[at])
            words = f"{abs(gain):,} places {'better' if gain > 0 else 'worse'} than in" if gain else "the same in"
            assert said.startswith(f"{words} Picture book {title}") and (
                not gain or f"(rank {other.ranks[at]:,} there)" in said
            )


def test_the_endpoint_answers_to_the_letter(book, context, searches):
    row = example_row(book, EXAMPLES[0])
    encoder = context.encoder(PAIR[1])
    scores = book.embed(encoder) @ encoder.encode_text([book.captions[row]])[0]
    order = np.argsort(-scores, kind="stable")
    best = searches.rank_pictures(book.captions[row], PAIR[1], 5)
    assert [answer["id"] for answer in best] == [book.ids[i] for i in order[:5]]
    assert [answer["rank"] for answer in best] == [1, 2, 3, 4, 5]
    assert [answer["cosine"] for answer in best] == pytest.approx(scores[order[:5]], abs=2e-6)
    assert [answer["right"] for answer in best] == [i == row for i in order[:5]]
    assert best[0]["caption"] == book.captions[order[0]]
    points = rank_by_sentences(context, settle(context, *form(book.captions[row])), PAIR[1])
    assert points[-1].tokens == encoder.tokenize(book.captions[row]).total > len(book.captions[row].split())


def test_captions_are_ranked_by_a_picture(book, searches):
    selection = Selection(picture=book.ids[4])
    shown = found(searches, *form(book.captions[4], TO_CAPTIONS, selection=selection))
    assert "Right caption at rank" in shown["left"] and 'class="cards captions"' in shown["left"]
    note, plot, numbers = searches.draw_curve(shown["selection"])
    assert note == "" and len(plot["value"].data) == 2
    for line in plot["value"].data:
        assert f"rank, {line.name}" in numbers and all(f"<td>{rank:,}</td>" in numbers for rank in line.y)


def test_one_rank_is_shown_everywhere(book, context, searches):
    """The captions of a late family agree in all that CLIP reads: to it they are one, and the last place counts."""
    encoder = context.encoder(PAIR[0])
    row = next(i for i, fields in enumerate(book.metadata) if str(fields.get("family")).startswith("late/"))
    images, texts = book.embed(encoder), encoder.encode_text(book.captions)
    rank = int(retrieval_ranks(images[row : row + 1], texts, [row])[0]) + 1
    assert rank >= 8
    shown = found(searches, *form(book.captions[row], TO_CAPTIONS, selection=Selection(picture=book.ids[row])))
    assert f"Right caption at rank {rank:,}<" in shown["left"] and "7 of its 7 look-alikes score as high" in shown["left"]
    assert "8 captions score the same" in shown["left"] and "ahead of all" not in shown["left"]
    assert rank_by_sentences(context, shown["selection"], PAIR[0])[-1].rank == rank
    table = list(csv.DictReader(Path(searches.save_csv(shown["selection"])).read_text("utf-8").splitlines()))
    assert {line[f"rank {PAIR[0]}"] for line in table if line["family"] == book.metadata[row]["family"]} == {str(rank)}
    best = searches.rank_pictures(book.captions[row], PAIR[0], len(book))
    own = int(retrieval_ranks(texts[row : row + 1], images, [row])[0]) + 1
    assert next(answer["rank"] for answer in best if answer["id"] == book.ids[row]) == own


def test_an_edited_caption_keeps_its_picture_and_another_text_does_not(book, context):
    own = Selection(picture=book.ids[7])
    edited = book.captions[7].replace(".", " today.", 1)
    assert settle(context, *form(edited, selection=own)).picture == book.ids[7]
    assert settle(context, *form("Nine purple submarines parade through Venice.", selection=own)).picture is None


@pytest.mark.parametrize("caption", ["", "   \n", None])
def test_without_a_caption_there_is_a_sentence(caption, searches):
    shown = found(searches, *form(caption))
    assert "Write a caption first" in shown["note"] and shown["left"] == shown["right"] == ""


@pytest.mark.parametrize("caption", HOSTILE.values(), ids=HOSTILE)
def test_any_text_is_searched_and_stays_text(caption, searches):
    shown = found(searches, *form(caption))
    for side in ("left", "right"):
        assert 'class="card' in shown[side]
        assert "<script" not in shown[f"{side}_text"] and "onerror=alert" not in shown[f"{side}_text"].replace(
            "&lt;img src=x ", ""
        )
        assert not set(map(chr, range(32))) - {"\t", "\n"} & set(shown[f"{side}_text"])
        shown[f"{side}_text"].encode()


def test_a_text_that_is_far_too_long_gets_a_sentence(searches):
    assert "at most 200,000 are read" in found(searches, *form("a" * 200_001))["note"]


def test_a_model_that_cannot_be_fetched_leaves_the_other(book, monkeypatch, searches):
    from longclip import hub

    def absent(*_):
        raise hub.HubError("owner/model is not in the cache, and the hub cannot be reached: check the network and try again.")

    monkeypatch.setattr(hub, "fetch", absent)
    shown = found(searches, *form(book.captions[0], models=("openai/ViT-B-32", PAIR[1])))
    assert "the hub cannot be reached" in shown["left"] and "Right picture" in shown["right"]
    assert "77 of" in shown["left_text"], "CLIP's tokenizer needs no download"


def test_an_unknown_model_gets_a_sentence(book, searches):
    for name in ("no-such-model", "hf-hub:../..", "", None, "a" * 9999, "\x00"):
        shown = found(searches, *form(book.captions[0], models=(name, PAIR[1])))
        assert "not among the models" in shown["left"] and "Right picture" in shown["right"]


def test_a_newer_search_of_the_same_visitor_ends_the_older(book, context, monkeypatch):
    def load_for_ever(name):
        while name == "openai/ViT-B-32":
            yield Progress(1, 4)

    class Visitor:
        session_hash = "one"

    searches = Searches(context)
    monkeypatch.setattr(context, "loading", load_for_ever)
    older = searches.search(*form(book.captions[0], models=("openai/ViT-B-32", PAIR[1])), Visitor())
    busy = next(older)
    assert "Fetching CLIP ViT-B/32" in busy[5] and "25 %" in busy[5] and busy[-1]["visible"]
    assert "Stopped" in searches.stop(busy[5], busy[6])[0]
    monkeypatch.undo()
    assert found(searches, *form(book.captions[1]))["note"] == ""
    list(searches.search(*form(book.captions[1]), Visitor()))
    assert len(list(older)) <= 1


def test_results_are_written_as_a_table(book, searches, context):
    path = Path(searches.save_csv(settle(context, *form(book.captions[3]))))
    lines = path.read_text("utf-8").splitlines()
    assert path.name == "longclip-results.csv" and len(lines) == len(book) + 1
    assert lines[0].split(",")[:3] == ["id", f"rank {PAIR[0]}", f"cosine {PAIR[0]}"]
    assert lines[1].split(",")[1] == "1"
    assert sum(",1," in line and book.ids[3] in line for line in lines) == 1


def test_a_table_without_results_is_an_error_with_a_sentence(searches):
    with pytest.raises(gr.Error, match="Write a caption first"):
        searches.save_csv(Selection())


def test_a_missing_gallery_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    with pytest.raises(Unavailable, match="gallery is not here"):
        Context().gallery(PICTURE_BOOK)
    shown = found(Searches(Context()), *form("a fox"))
    assert "gallery is not here" in shown["note"]
