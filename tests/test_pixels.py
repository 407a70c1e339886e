"""Maps of pixels against covering one place at a time, and length curves against captions that are typed shorter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import longclip
from longclip.attribution import (
    Match,
    average_changes,
    average_curves,
    gradient_map,
    integrated_gradients_map,
    leave_one_out,
    length_curve,
    occlude,
    position_changes,
    word_effects,
)
from longclip.attribution.length import average
from longclip.attribution.pixels import COVERS

TEXT = "A red fox sits beside a pond. It's quiet, and three ducks swim past the moon!"


@pytest.fixture(scope="module")
def encoder(tiny_model_folder):
    return longclip.load(tiny_model_folder(77))


@pytest.fixture(scope="module")
def picture():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.mark.parametrize("window", [1, 3])
def test_occlusion_equals_covering_one_window_at_a_time(encoder, picture, window):
    direction = encoder.encode_text(["A red fox."])[0]
    found = occlude(encoder, picture, window, "grey").map(direction)
    pixels = encoder.preprocessing.batch([picture])
    score = float(encoder.image_features(pixels)[0] @ torch.tensor(direction))
    sums, counts = np.zeros((4, 4)), np.zeros((4, 4))
    for row in range(5 - window):
        for column in range(5 - window):
            covered = pixels.clone()
            covered[:, :, 8 * row : 8 * (row + window), 8 * column : 8 * (column + window)] = 0
            area = np.s_[row : row + window, column : column + window]
            sums[area] += score - float(encoder.image_features(covered)[0] @ torch.tensor(direction))
            counts[area] += 1
    np.testing.assert_allclose(found, sums / counts, atol=1e-5)
    assert np.ptp(found) > 1e-4


def test_a_words_map_is_the_difference_of_the_captions_maps(encoder, picture):
    match = Match.of_picture(encoder, TEXT, picture)
    occlusion = occlude(encoder, picture)
    word = match.units()[2]
    effect = word_effects(match, [[word]], "delete")[0]
    captions = encoder.encode_text([TEXT, TEXT.replace("fox ", "", 1)])
    np.testing.assert_allclose(occlusion.map(effect), occlusion.map(captions[0]) - occlusion.map(captions[1]), atol=1e-5)
    assert float(effect @ match.direction.numpy()) == pytest.approx(leave_one_out(match, removal="delete").values[2], abs=1e-5)
    cells = np.zeros((4, 4), bool)
    cells[1, 2] = cells[3, 0] = True
    assert occlusion.words(effect[None], cells)[0] == pytest.approx(occlusion.map(effect)[cells].sum(), abs=1e-6)


def test_leave_one_out_knows_what_each_word_takes_from_the_features(encoder, picture):
    match = Match.of_picture(encoder, "a " * 50 + TEXT * 4, picture)
    found = leave_one_out(match)
    assert 0 < len(found.seen) < len(found.units)
    wanted = word_effects(match, [[found.units[number]] for number in found.seen])
    np.testing.assert_allclose(found.effects, wanted, atol=1e-6)


@pytest.mark.parametrize("cover", COVERS)
def test_integrated_gradients_of_pixels_are_complete(encoder, picture, cover):
    direction = encoder.encode_text(["A red fox."])[0]
    found, gap = integrated_gradients_map(encoder, picture, direction, cover=cover)
    assert found.shape == (4, 4) and abs(gap) < 0.01 * np.abs(found).sum()
    assert gradient_map(encoder, picture, direction, cover).shape == (4, 4)


def test_a_blank_picture_has_an_empty_map(encoder):
    blank = Image.new("RGB", (64, 64), (200, 30, 30))
    for cover in ("mean", "blur"):
        assert np.abs(occlude(encoder, blank, cover=cover).losses).max() < 1e-6


def test_covers_and_windows_that_do_not_exist_are_refused(encoder, picture):
    with pytest.raises(ValueError, match="cover 'black' is unknown; there are blur, mean, grey"):
        occlude(encoder, picture, cover="black")
    with pytest.raises(ValueError, match="window is 5 patches; wanted 1 to 4"):
        occlude(encoder, picture, 5)


def test_a_length_curve_equals_captions_that_end_sooner(encoder):
    gallery = np.random.default_rng(0).normal(size=(20, encoder.dim)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    match = Match(encoder, TEXT, gallery[4])
    curve = length_curve(match, gallery, 4)
    texts = [TEXT[:end] for end in curve.ends]
    features = encoder.encode_text(texts)
    np.testing.assert_allclose(curve.scores, features @ gallery[4], atol=1e-5)
    assert curve.tokens.tolist() == [encoder.tokenize(text).total for text in texts]
    ranks = 1 + (features @ gallery.T > (features @ gallery[4])[:, None] + 1e-6).sum(1)
    assert curve.ranks.tolist() == ranks.tolist() and len(set(curve.ranks)) > 1
    assert curve.words[-1] == 16 and curve.sentences[-1] == 2 and curve.sentences[0] == 0
    # "A red fox sits beside a pond." has eight words and marks, start and end token.
    assert curve.at("sentences", [1])[0] == curve.at("tokens", [10])[0] == curve.scores[8]
    assert curve.ranks_at("words", [0, 99]).tolist() == [curve.ranks[0], curve.ranks[-1]]
    with pytest.raises(ValueError, match="is not cut by 'letters'; there are tokens, words, sentences"):
        curve.at("letters", [1])
    with pytest.raises(ValueError, match="has no ranks"):
        length_curve(match).ranks_at("words", [1])


def test_changes_by_position_equal_one_token_at_a_time(encoder):
    match = Match(encoder, "A red fox sits.", np.eye(encoder.dim)[0])
    found = position_changes(match)
    assert np.isnan(found[[0, -1]]).all() and len(found) == len(match.tokens)
    words = leave_one_out(match)
    np.testing.assert_allclose(found[1:-1], np.abs(words.values), atol=1e-6)
    assert not np.allclose(found[1:-1], position_changes(match, "delete")[1:-1])


def test_means_have_the_band_that_statistics_gives():
    rows = np.random.default_rng(0).normal(3, 2, (400, 3))
    rows[200:, 1] = np.nan
    rows[:, 2] = np.nan
    band = average(rows, [10, 20, 30])
    assert band.counts.tolist() == [400, 200, 0] and np.isnan([band.low[2], band.high[2]]).all()
    for place, count in ((0, 400), (1, 200)):
        known = rows[:count, place]
        assert band.mean[place] == pytest.approx(known.mean())
        half = 1.96 * known.std() / count**0.5
        assert band.low[place] == pytest.approx(known.mean() - half, abs=0.15 * half)
        assert band.high[place] == pytest.approx(known.mean() + half, abs=0.15 * half)


def test_a_gallery_is_averaged(encoder):
    matches = [Match(encoder, text, np.eye(encoder.dim)[0]) for text in ("A red fox.", TEXT)]
    curves = [length_curve(match) for match in matches]
    band = average_curves(curves, "words", [0, 3, 99])
    last = (curves[0].scores[-1] + curves[1].scores[-1]) / 2
    assert band.mean[2] == pytest.approx(last) and (band.low <= band.mean).all() and (band.mean <= band.high).all()
    changes = [position_changes(match) for match in matches]
    averaged = average_changes(changes)
    assert averaged.places[0] == 1 and averaged.counts[0] == 2 and averaged.counts[-1] == 1
    assert averaged.mean[0] == pytest.approx((changes[0][1] + changes[1][1]) / 2)
    with pytest.raises(ValueError, match="no caption to average|no captions to average"):
        average(np.empty((0, 3)), [1, 2, 3])
