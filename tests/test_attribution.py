"""Attribution against slow plain versions on a tiny model: open_clip's own forward pass, loops over sets and steps."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from conftest import CORPUS, tiny_config
from open_clip.model import CLIP
from PIL import Image
from torch.nn import functional as F

import longclip
from longclip.attribution import (
    LEVELS,
    REMOVALS,
    Match,
    attention_rollout,
    gradient_times_input,
    integrated_gradients,
    leave_one_out,
    shapley_values,
)
from longclip.attribution.gradients import STEPS
from longclip.attribution.prefix import form_prefix_groups, variant_features
from longclip.attribution.removal import Variant, filler_id

TEXT = "A red fox sits beside a small pond, and three ducks swim past. It's quiet: a cat doesn't move!"


@pytest.fixture(scope="module")
def encoder(tiny_model_folder):
    return longclip.load(tiny_model_folder(77))


@pytest.fixture(scope="module")
def plain(encoder):
    """open_clip's own model with the same weights."""
    model = CLIP(**tiny_config(77, encoder.model.vocab_size)).eval().requires_grad_(False)
    model.load_state_dict(encoder.model.state_dict())
    return model


@pytest.fixture
def match(encoder):
    return Match.of_picture(encoder, TEXT, Image.effect_mandelbrot((40, 40), (-2, -1.5, 1, 1.5), 9).convert("RGB"))


def plain_features(plain, x, hidden=()):
    """Unit features of embedded tokens with positions, [1, L, width], by open_clip's blocks; nobody attends to `hidden`."""
    mask = plain.attn_mask[: x.shape[1], : x.shape[1]].clone()
    mask[:, list(hidden)] = float("-inf")
    mask.fill_diagonal_(0)  # a hidden token sees itself, which nobody reads
    x = plain.ln_final(plain.transformer(x, attn_mask=mask))
    return F.normalize(x[:, -1] @ plain.text_projection, dim=-1)


def embed(plain, ids):
    return (plain.token_embedding(torch.tensor(ids)) + plain.positional_embedding[: len(ids)])[None]


def plain_score(match, plain, gone, removal):
    """The score without the tokens at the places `gone`, one caption at a time."""
    ids = list(match.tokens.ids)
    if removal == "delete":
        ids = [token for place, token in enumerate(ids) if place not in gone]
    elif removal == "replace":
        ids = [filler_id(match.encoder.tokenizer) if place in gone else token for place, token in enumerate(ids)]
    x = embed(plain, ids)
    return float(plain_features(plain, x, gone if removal == "mask" else ()) @ match.direction)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("removal", REMOVALS)
def test_leave_one_out_equals_one_caption_at_a_time(match, plain, level, removal):
    found = leave_one_out(match, level, removal)
    slow = [found.score - plain_score(match, plain, set(unit.tokens), removal) for unit in found.units]
    np.testing.assert_allclose(found.values, slow, atol=1e-5)
    assert np.ptp(slow) > 1e-3, "the values differ enough for the comparison to mean something"
    everything = set(range(1, len(match.tokens) - 1))
    assert found.score == pytest.approx(plain_score(match, plain, set(), removal), abs=1e-5)
    assert found.base == pytest.approx(plain_score(match, plain, everything, removal), abs=1e-5)
    assert found.passes <= len(found.units) + 3 and found.seconds > 0


def test_to_delete_a_word_is_to_type_the_caption_without_it(match):
    found = leave_one_out(match, removal="delete")
    edited = [TEXT[: unit.start] + " " + TEXT[unit.end :] for unit in found.units]
    scores = match.encoder.encode_text(edited) @ match.direction.numpy()
    np.testing.assert_allclose(found.score - found.values, scores, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 40, 100_000])
@pytest.mark.parametrize("call", [1, 100_000, 100_000_000])
def test_batches_and_groups_change_nothing(encoder, plain, monkeypatch, rows, call):
    monkeypatch.setattr("longclip.attribution.prefix._ROWS", rows)
    monkeypatch.setattr("longclip.attribution.prefix._CALL", call)
    ids = encoder.tokenize(TEXT).ids
    caption = Variant(ids, tuple(range(len(ids))))
    generator = np.random.default_rng(0)
    variants = [caption, caption.without(range(1, len(ids) - 1)), Variant((*ids[:9], ids[-1]), tuple(range(10)))]
    for removal in REMOVALS:
        variants += [caption.without(generator.choice(range(1, len(ids) - 1), 5), removal, 7) for _ in range(6)]
    features, passes = variant_features(encoder, caption, variants)
    for variant, row in zip(variants, features, strict=True):
        x = plain.token_embedding(torch.tensor(variant.ids)) + plain.positional_embedding[list(variant.columns)]
        torch.testing.assert_close(row, plain_features(plain, x[None])[0], atol=1e-5, rtol=0)
    assert passes == len(set(variants))


def test_blocks_that_take_no_prefix_give_the_same(encoder, monkeypatch):
    match = Match(encoder, TEXT, np.eye(encoder.dim)[0])
    fast = {removal: leave_one_out(match, removal=removal).values for removal in REMOVALS}
    monkeypatch.setattr("longclip.attribution.prefix.is_plain", lambda _: False)
    monkeypatch.setattr("longclip.model.is_plain", lambda _: False)
    for removal, values in fast.items():
        np.testing.assert_allclose(leave_one_out(match, removal=removal).values, values, atol=1e-5)


def test_prefix_groups_hold_every_text_within_the_slack():
    generator = np.random.default_rng(0)
    texts = sorted((int(start), int(start + more)) for start, more in generator.integers(1, 40, (60, 2)))
    for slack in (0, 5, 50, 10_000):
        groups, first = form_prefix_groups(texts, slack), 0
        for count, rows in groups:
            members = texts[first : first + count]
            assert rows == max(length for _, length in members) - members[0][0]
            assert rows * count - sum(length - start for start, length in members) <= slack
            first += count
        assert first == len(texts)
    assert form_prefix_groups(texts, 10_000) == [(60, max(length for _, length in texts) - texts[0][0])]


def test_integrated_gradients_equal_a_loop_over_steps(match, plain):
    found = integrated_gradients(match, steps=12)
    whole = embed(plain, match.tokens.ids)
    places = [place for unit in found.units for place in unit.tokens]
    ids = [filler_id(match.encoder.tokenizer) if place in places else token for place, token in enumerate(match.tokens.ids)]
    empty = embed(plain, ids)
    total = torch.zeros_like(whole)
    for node, weight in zip(*np.polynomial.legendre.leggauss(12), strict=True):
        x = (empty + (node + 1) / 2 * (whole - empty)).requires_grad_()
        score = (plain_features(plain, x) @ match.direction).sum()
        total += weight / 2 * torch.autograd.grad(score, x)[0]
    tokens = (total * (whole - empty))[0].sum(-1).numpy()
    slow = [tokens[unit.first : unit.last].sum() for unit in found.units]
    np.testing.assert_allclose(found.values, slow, atol=1e-5)
    assert np.ptp(slow) > 1e-3


@pytest.mark.parametrize("level", LEVELS)
def test_integrated_gradients_are_complete(match, level):
    found = integrated_gradients(match, level)
    assert found.base == pytest.approx(leave_one_out(match, level, "replace").base, abs=1e-6)
    assert abs(found.gap) < 0.01 * abs(found.score - found.base), f"at {STEPS} steps"
    assert found.values.sum() == pytest.approx(found.score - found.base + found.gap)


def test_gradient_times_input_is_the_slope_at_the_caption(match, plain):
    found = gradient_times_input(match)
    unit = found.units[2]
    step, ids = 1e-2, list(match.tokens.ids)
    whole = embed(plain, ids)
    ids[unit.first] = filler_id(match.encoder.tokenizer)
    towards = whole - embed(plain, ids)
    higher, lower = (plain_features(plain, whole + sign * step * towards) @ match.direction for sign in (1, -1))
    assert found.values[2] == pytest.approx(float((higher - lower) / (2 * step)), abs=1e-4)
    assert abs(found.values[2]) > 1e-3 and found.passes <= 2


def test_few_units_have_their_exact_shapley_values(encoder, plain):
    match = Match(encoder, "A red fox sits!", np.eye(encoder.dim)[1])
    for removal in REMOVALS:
        found = shapley_values(match, removal=removal, budget=32)
        units, slow, scores = found.units, np.zeros(len(found.units)), {}
        for order in permutations(range(len(units))):
            for first in range(len(order) + 1):
                there = frozenset(order[:first])
                if there not in scores:
                    gone = {place for number in set(order) - there for place in units[number].tokens}
                    scores[there] = plain_score(match, plain, gone, removal)
                if first:
                    slow[order[first - 1]] += (scores[there] - scores[there - {order[first - 1]}]) / 120
        np.testing.assert_allclose(found.values, slow, atol=1e-5)
        assert not found.errors.any() and found.passes <= 33 and abs(found.gap) < 1e-6


def test_sampled_shapley_values_add_up_and_come_near(encoder):
    match = Match(encoder, "A red fox sits beside a small pond!", np.eye(encoder.dim)[1])
    exact = shapley_values(match, budget=2 ** len(match.units())).values
    found = shapley_values(match, budget=240, seed=3)
    assert abs(found.gap) < 1e-6 and found.values.sum() == pytest.approx(found.score - found.base, abs=1e-6)
    assert np.abs(found.values - exact).max() < 4 * found.errors.max() and found.errors.max() > 0
    np.testing.assert_array_equal(found.values, shapley_values(match, budget=240, seed=3).values)
    assert not np.allclose(found.values, shapley_values(match, budget=240, seed=4).values)


def test_shapley_values_equal_captums(encoder):
    from captum.attr import ShapleyValues

    match = Match(encoder, "A red fox sits.", np.eye(encoder.dim)[2])
    units = match.units()

    def forward(kept):
        gone = [[unit for unit, stays in zip(units, row, strict=True) if not stays] for row in kept]
        return torch.tensor(match.scores([match.without(removed) for removed in gone]))

    theirs = ShapleyValues(forward).attribute(torch.ones(1, len(units)), perturbations_per_eval=len(units))
    np.testing.assert_allclose(shapley_values(match, budget=32).values, theirs[0], atol=1e-5)


def test_rollout_equals_the_weights_of_torchs_attention(match, plain):
    x, flow = embed(plain, match.tokens.ids), None
    length = x.shape[1]
    for block in plain.transformer.resblocks:
        normed = block.ln_1(x)
        mask = plain.attn_mask[:length, :length]
        weights = block.attn(normed, normed, normed, attn_mask=mask, need_weights=True, average_attn_weights=True)[1][0]
        layer = (weights + torch.eye(length)) / 2
        flow = layer if flow is None else layer @ flow
        x = block(x, attn_mask=mask)
    found = attention_rollout(match)
    slow = [float(flow[-1, unit.first : unit.last].sum()) for unit in found.units]
    np.testing.assert_allclose(found.values, slow, atol=1e-5)
    assert 0 < found.values.sum() < 1


def test_a_caption_of_one_word(encoder):
    match = Match(encoder, "fox", np.eye(encoder.dim)[0])
    for found in (leave_one_out(match), shapley_values(match)):
        assert len(found.values) == 1 and found.values[0] == pytest.approx(found.score - found.base, abs=1e-6)
    found = integrated_gradients(match)
    assert found.values[0] == pytest.approx(found.score - found.base, abs=1e-4)


def test_five_thousand_words(encoder):
    text = " ".join([*CORPUS] * 120)
    match = Match(encoder, text, np.eye(encoder.dim)[0])
    found = leave_one_out(match)
    assert len(found.units) > 5000 and found.seen.max() < 77
    unseen = np.setdiff1d(np.arange(len(found.units)), found.seen)
    assert not found.values[unseen].any() and found.units[unseen[0]].start >= match.tokens.unseen_start
    assert found.values[found.seen].any() and found.passes <= 78


def test_the_same_word_two_hundred_times(tiny_model_folder):
    encoder = longclip.load(tiny_model_folder(248))
    found = leave_one_out(Match(encoder, "fox " * 200, np.eye(encoder.dim)[0]), removal="delete")
    assert len(found.units) == 200 and np.ptp(found.values) == 0, "one of them missing is the same text, whichever it is"
    assert found.passes == 4, "the caption (twice), nothing, and 199 of the word"
    masked = leave_one_out(Match(encoder, "fox " * 200, np.eye(encoder.dim)[0]), removal="mask")
    assert np.ptp(masked.values) > 0, "where it is missing can be told when the others stay in place"


@pytest.mark.parametrize("text", ["שועל אדום יושב ליד הבריכה", "🦊🐻 👨‍👩‍👧!", "狐狸在池塘边。", "  \n fox \t "])
def test_other_scripts_and_emoji(encoder, text):
    match = Match(encoder, text, np.eye(encoder.dim)[0])
    found = leave_one_out(match)
    assert all(text[unit.start : unit.end] == unit.text for unit in found.units) and found.values[found.seen].any()
    assert abs(integrated_gradients(match).gap) < 1e-3


def test_a_blank_picture(encoder):
    found = leave_one_out(Match.of_picture(encoder, TEXT, Image.new("RGB", (50, 30), "white")))
    assert np.isfinite(found.values).all() and found.values.any()


def test_what_is_refused(encoder):
    match = Match(encoder, "fox", np.eye(encoder.dim)[0])
    for call, message in (
        (lambda: leave_one_out(match, "letters"), "level 'letters' is unknown; there are words, phrases, sentences"),
        (lambda: leave_one_out(match, removal="erase"), "removal 'erase' is unknown; there are mask, delete, replace"),
        (
            lambda: leave_one_out(Match(encoder, " \n", np.eye(encoder.dim)[0])),
            "the caption is empty: wanted at least one word",
        ),
        (lambda: shapley_values(match, budget=0), "the budget is 0 passes; wanted 1 or more"),
        (lambda: integrated_gradients(match, steps=0), "steps is 0; wanted 1 or more"),
        (lambda: integrated_gradients(match, filler="a fox"), "the filler 'a fox' is 2 tokens"),
        (lambda: Match(encoder, "fox", np.ones(3)), r"the direction has shape \[3\], wanted \[48\]"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("method", [leave_one_out, integrated_gradients, shapley_values])
def test_progress_reaches_the_end_and_can_stop_the_work(match, method, monkeypatch):
    monkeypatch.setattr("longclip.attribution.prefix._ROWS", 50)
    heard = []
    method(match, progress=lambda done, total: heard.append((done, total)))
    assert len(heard) > 1 and heard[-1][0] == heard[-1][1] and heard == sorted(heard)

    class Stopped(Exception):
        pass

    def stop(done, total):
        raise Stopped

    with pytest.raises(Stopped):
        method(match, progress=stop)
