"""Checks of explanations, against planted answers: what is true, what is false, and what chance gives."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import longclip
from longclip.__main__ import main
from longclip.attribution import Match, leave_one_out
from longclip.encoder import Encoder
from longclip.evaluation import attribution as module
from longclip.evaluation import truth
from longclip.evaluation.attribution import METHODS, measure_attribution
from longclip.evaluation.data import EvaluationSet, draw_sets
from longclip.evaluation.features import Features
from longclip.picturebook.pages import draw_page
from longclip.tokens import Tokenizer

TEXT = "A red fox sits beside a small pond, and three ducks swim past."


@pytest.fixture(scope="module")
def encoder(tiny_model_folder):
    return longclip.load(tiny_model_folder(248))


class Additive(Match):
    """A match whose score is the sum of what its tokens are worth."""

    def features(self, variants, progress=None):
        made = np.zeros((len(variants), len(self.direction)))
        made[:, 0] = [sum(self.worth(token) for token in variant.ids[1:-1]) for variant in variants]
        return made

    def worth(self, token):
        return np.sin(token)

    def scores(self, variants, progress=None):
        return self.features(variants)[:, 0]


@pytest.fixture
def additive(encoder):
    return Additive(encoder, TEXT, np.eye(encoder.dim)[0])


def test_the_truth_about_a_sum_cannot_be_bettered(additive):
    found = leave_one_out(additive)
    kept, scores = truth.draw_coalitions(additive, np.random.default_rng(0))
    assert truth.correlate(kept @ found.values, scores - found.base) == pytest.approx(1)
    deletion, insertion = truth.measure_orders(additive, found, np.random.default_rng(0))
    nothing = METHODS["random"](additive)
    chance = np.mean([truth.measure_orders(additive, nothing, np.random.default_rng(seed)) for seed in range(50)], axis=0)
    assert deletion < chance[0] - 0.5 and insertion > chance[1] + 0.5
    assert truth.correlate(kept @ nothing.values, scores) is None
    # Words that go one after the other take the mean of a line, whatever the order, on average.
    assert chance == pytest.approx([(found.score + found.base) / 2] * 2, abs=0.25)


def test_rank_correlation_equals_scipys():
    from scipy.stats import spearmanr

    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 9, 40), generator.normal(size=40)
    assert truth.correlate_ranks(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert truth.correlate_ranks(np.zeros(5), np.arange(5)) is None


def test_equal_values_hit_by_chance():
    hits = np.array([True, False, False, False])
    assert truth.share_first(np.zeros(4), hits) == 0.25
    assert truth.share_first(np.array([2, 1, 0, 0]), hits) == 1 and truth.share_first(np.array([1, 2, 0, 0]), hits) == 0
    assert truth.share_first(np.array([1e-9, 0, 0, 0]), hits) == 1, "small values are values"


def test_the_pointing_game():
    mask = np.array([[0.0, 0.5], [0.0, 1.0]])
    assert truth.point(np.array([[0, 3], [1, 0]]), mask) == (1, pytest.approx(1.5 / 4))
    assert truth.point(np.array([[3, -9], [0, -1]]), mask) == (0, 0)
    assert truth.point(np.zeros((2, 2)), mask) == (0.5, pytest.approx(0.375))


def test_a_randomised_model_has_learned_nothing_but_is_as_large(encoder):
    other = truth.randomise(encoder)
    for (name, before), after in zip(encoder.model.named_parameters(), other.model.parameters(), strict=True):
        assert (
            before.sort().values.equal(after.sort().values) if before.ndim < 2 else before.sum().isclose(after.sum(), atol=1e-2)
        )
        if before.ndim == 2:
            assert before.equal(after) == name.startswith("visual."), name
    assert encoder.model.positional_embedding.equal(longclip.load(encoder.spec.path).model.positional_embedding)


def test_counterfactuals_that_lie_beyond_what_a_tokenizer_reads():
    tokenizer = Tokenizer.full(77)
    drawn = {number: truth.draw_counterfactual(draw_page("held-out", 0, number), number, tokenizer) for number in range(8)}
    found = {number: other for number, other in drawn.items() if other}
    assert len(found) >= 3 and len({other.change for other in found.values()}) > 1
    for number, other in found.items():
        before, after = draw_page("held-out", 0, number).long.text, other.page.long.text
        assert before != after and tokenizer(before).ids == tokenizer(after).ids


def test_words_of_things_lie_in_the_phrases_that_speak_of_them(encoder):
    page = draw_page("held-out", 0, 3)
    found = truth.words_of_things(page, Match(encoder, page.long.text, np.eye(encoder.dim)[0]).units())
    assert [kind for kind, _, _ in found].count("subject") == 1 and {"name", "phrase", "colour"} <= {
        kind for kind, _, _ in found
    }
    for kind, number, units in found:
        thing = page.scene.things[number]
        assert units and (kind != "colour" or units[0].text.lower() == thing.colour)
        for unit in units:
            phrase = next(phrase for phrase in page.long.phrases if phrase.start <= unit.start < phrase.end)
            assert phrase.things == (number,)
    masks = truth.cell_masks(page, (4, 4))
    assert masks.shape == (len(page.scene.things), 4, 4)
    np.testing.assert_allclose(masks.mean((1, 2)), page.scene.masks(256).mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize(("sign", "wanted"), [(1, 100), (-1, 0)])
def test_the_word_that_is_to_blame_is_the_one_that_lowers_the_score(encoder, monkeypatch, sign, wanted):
    page = draw_page("held-out", 0, 3)
    tokenizer = Tokenizer.full(248)
    known = Encoder(encoder.spec, encoder.model, tokenizer, encoder.preprocessing)

    def changed(other):
        """Both captions, each with the first word that the other one has not."""
        sides = ((page.long.text, other.removed), (other.page.long.text, other.added))
        return [(text, text[slice(*spans[0])]) for text, spans in sides]

    drawn = filter(None, (truth.draw_counterfactual(page, number) for number in range(80)))
    other = next(other for other in drawn if all(len(re.findall(rf"\b{word}\b", text)) == 1 for text, word in changed(other)))
    removed, added = (tokenizer(word).ids[1:-1] for _, word in changed(other))
    worth = dict.fromkeys(removed, sign) | dict.fromkeys(added, -sign)

    class Planted(Additive, module.Remembered):
        def __init__(self, *given):
            super().__init__(*given)
            self.direction = torch.eye(encoder.dim)[0]

        def worth(self, token):
            return worth.get(token, 0.0)

    monkeypatch.setattr(module, "Match", Planted)
    monkeypatch.setattr(module, "METHODS", {"leave-one-out": leave_one_out})
    monkeypatch.setattr(truth, "draw_counterfactual", lambda page, number, tokenizer=None: None if tokenizer else other)
    samples = {"leave-one-out": defaultdict(list)}
    module._measure_blame(Planted(known, page.long.text, np.zeros(encoder.dim)), page, 0, samples)
    assert samples["leave-one-out"]["blame"] == samples["leave-one-out"]["contrast"] == [wanted]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_map_of_the_thing_itself_hits_it(encoder, monkeypatch, sign):
    page = draw_page("held-out", 0, 3)
    masks = truth.cell_masks(page, module.grid_of(encoder))
    things = [
        number for _, number, _ in truth.words_of_things(page, Match(encoder, page.long.text, np.eye(encoder.dim)[0]).units())
    ]
    monkeypatch.setattr(module, "word_effects", lambda match, groups: things)
    monkeypatch.setattr(module, "occlude", lambda *_: SimpleNamespace(map=lambda thing: sign * masks[thing]))
    monkeypatch.setattr(module, "integrated_gradients_map", lambda *_: (np.zeros(masks.shape[1:]), 0.0))
    monkeypatch.setattr(module, "gradient_map", lambda *_: np.zeros(masks.shape[1:]))
    samples = {}
    module.measure_pixels(encoder, page, page.scene.draw(64), np.eye(encoder.dim)[0], samples)
    hits = [value for kind in ("subject", "name", "phrase", "colour") for value in samples["occlusion"][f"{kind} hit"]]
    assert len(hits) == len(things) and set(hits) == {100.0 if sign == 1 else 0.0}
    if sign == 1:
        assert samples["occlusion"]["subject overlap"] > samples["random"]["subject overlap"]


@pytest.fixture
def few_methods(monkeypatch):
    """The quick ones, under their names."""
    names = ("leave-one-out, mask", "gradient × input", "random")
    monkeypatch.setattr("longclip.evaluation.attribution.METHODS", {name: METHODS[name] for name in names})
    monkeypatch.setattr("longclip.evaluation.attribution.MAP_STEPS", 1)
    return names


def test_the_measure_has_a_row_for_every_method(encoder, few_methods):
    data, *_ = draw_sets(0, 2, 0, "held-out", 2)
    found = measure_attribution(Features(encoder, data), explained=2)
    assert json.loads(json.dumps(found)) == found
    for name in few_methods:
        row = found[f"words by {name}"]
        assert {"deletion", "insertion", "agreement", "randomised", "blame", "contrast", "passes", "seconds"} <= set(row)
    assert found["words by random"]["agreement"] is None and 0 < found["words by random"]["blame"] < 30
    for name in ("occlusion", "integrated gradients", "gradient × input", "random"):
        assert {"subject hit", "phrase overlap", "seconds"} <= set(found[f"pixels by {name}"])
    assert set(found["score change by position"]) == set(found["score change by position, low"])
    bare = EvaluationSet("x", data.pictures, data.long)
    assert "blame" not in measure_attribution(Features(encoder, bare), explained=1)["words by random"]


def test_the_command_prints_a_table_for_every_method(encoder, few_methods, capsys):
    arguments = ["evaluate", "attribution", "--model", str(encoder.spec.path), "--scenes", "2", "--families", "0"]
    assert main([*arguments, "--explained", "1"]) == 0
    out = capsys.readouterr().out
    assert "words by leave-one-out, mask" in out and "pixels by occlusion" in out and "seconds" in out
    assert main([*arguments, "--explained", "0"]) == 2
    assert "--explained is 0; wanted 1 or more" in capsys.readouterr().err


def test_what_is_remembered_of_a_caption_is_what_would_be_computed(encoder):
    directions = np.eye(encoder.dim)[:2]
    first = module.Remembered(encoder, TEXT, directions[0])
    for method in (METHODS["leave-one-out, mask"], METHODS["Shapley values"], METHODS["integrated gradients"]):
        method(first)
        again, plain = first.towards(directions[1]), Match(encoder, TEXT, directions[1])
        np.testing.assert_allclose(method(again).values, method(plain).values, atol=1e-6)
        assert again.passes < plain.passes or method is METHODS["integrated gradients"]
