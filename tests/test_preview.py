"""What is said before a training: the figures against the run itself and plain sums, and advice that helps."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from math import cos, pi
from pathlib import Path

import pytest
from PIL import Image

from longclip.data.pairs import Pair, PairData
from longclip.training.preview import LEAST_WAY, preview, reach, suggest
from longclip.training.recipe import Recipe, read_recipe
from longclip.training.sources import count_steps, fit_batch

DATA = {"data": "table:pairs.jsonl", "base": "base"}


def data_of(count: int, captions=lambda number: f"Picture {number}. It is the only one.") -> PairData:
    return PairData("pairs", [Pair(Path(f"nowhere/{number}.png"), (captions(number),)) for number in range(count)])


def ready(recipe: Recipe, pairs: int) -> Recipe:
    """The recipe as it runs on so many pairs."""
    fitted = fit_batch(recipe, pairs)
    return replace(fitted, steps=fitted.steps or count_steps(fitted, pairs))


def said(recipe: Recipe, data: PairData) -> str:
    return "\n".join(preview(recipe, ready(recipe, len(data)), data, data_of(5)).lines())


@pytest.fixture(autouse=True)
def no_files(monkeypatch):
    """Pictures by their names, of few rows: most of these tests have none."""
    monkeypatch.setattr("longclip.training.preview._size", lambda picture: 0)
    monkeypatch.setattr("longclip.training.preview._LOOKED_AT", 100)


@pytest.mark.parametrize(
    ("pairs", "steps"),
    # 6 passes in batches of 2,048: of 9,000 pairs 54,000 / 2,048 = 26.4.
    [(45, 6), (900, 6), (9_000, 27), (1_245_902, 3651)],
)
def test_the_readmes_recipe_reaches_its_rate_on_any_data(pairs, steps):
    recipe = ready(read_recipe("long-clip", **DATA), pairs)
    highest, way = reach(recipe)
    assert recipe.steps == steps and highest == recipe.learning_rate == 1e-6
    # The rates one by one, as the authors' scheduler has them.
    warm = max(1, round(0.0548 * steps))
    rates = [1e-6 * (n + 1) / warm if n < warm else 0.5e-6 * (1 + cos(pi * (n - warm) / (steps - warm))) for n in range(steps)]
    assert way == pytest.approx(sum(rates), rel=1e-9) and max(rates) == 1e-6
    if steps > 3000:
        assert warm == 200 and way == pytest.approx(1.8e-3, rel=0.05)


def test_warm_up_in_steps_is_what_was_given():
    recipe = read_recipe("long-clip", **DATA, warmup=200)
    assert ready(recipe, 9_000).warmup_steps == 200
    text = said(recipe, data_of(9_000))
    assert "learning rate up to 1.4e-07, after 200 steps" in text
    assert "warm-up takes 200 steps of 27, so the learning rate gets to 1.4e-07 of 1e-06; try --warmup 0.1" in text


def test_a_batch_of_more_than_there_are_pairs_is_made_smaller_aloud():
    text = said(read_recipe("long-clip", **DATA), data_of(45))
    assert "6 steps of 45 pairs, 6 passes" in text and "a batch of 2,048 is more than there are pairs: it is made 45" in text
    with pytest.raises(
        ValueError,
        match="batch is 2,048, and there are 20 pairs to train on; .* at most 19 .*at least 34 pairs, .*--components 16",
    ):
        fit_batch(read_recipe("long-clip", **DATA), 20)
    assert fit_batch(read_recipe("long-clip", **DATA, objective="contrastive"), 20).batch == 20


def test_processes_share_what_there_is(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert fit_batch(Recipe(**DATA), 45).batch == 40
    with pytest.raises(ValueError, match="data table:pairs.jsonl has 7 pairs to train on for 8 processes"):
        fit_batch(Recipe(**DATA, objective="contrastive"), 7)


@pytest.mark.parametrize("pairs", [40, 300, 5_000, 60_000, None])
@pytest.mark.parametrize(
    "changes", [{}, {"batch": 2048}, {"warmup": 200}, {"steps": 3}, {"learning_rate": 1e-7}, {"epochs": 0.1}], ids=str
)
def test_advice_is_enough_where_it_is_given(changes, pairs):
    given = Recipe(**DATA if pairs else {"base": "base"}, **changes)
    recipe = ready(given, pairs) if pairs else replace(given, steps=given.steps or 7)
    ahead = preview(given, recipe, data_of(pairs) if pairs else None, None)
    advice = [warned.better for warned in ahead.warnings if "can hardly learn" in warned.sentence]
    assert bool(advice) == (ahead.way < LEAST_WAY)
    if advice:
        better = replace(given if pairs else recipe, **advice[0])
        assert reach(ready(better, pairs) if pairs else better)[1] >= LEAST_WAY
        assert advice[0] == suggest(recipe, pairs)


def test_a_run_that_can_learn_is_not_warned_of():
    ahead = preview(read_recipe("long-clip", **DATA), ready(read_recipe("long-clip", **DATA), 1_245_902), None, None)
    assert not ahead.warnings
    assert not preview(Recipe(**DATA), ready(Recipe(**DATA), 20_000), data_of(20_000), data_of(1000)).warnings


def test_the_safe_rate_is_the_default_and_a_high_one_is_warned_of():
    assert Recipe(**DATA).learning_rate == read_recipe("long-clip").learning_rate == 1e-6
    assert "at a learning rate of 0.5 a base forgets what it knows; try --learning-rate 1e-05" in said(
        Recipe(**DATA, learning_rate=0.5), data_of(500)
    )


def test_few_rows_and_what_has_no_effect_are_warned_of():
    text = said(Recipe(**DATA, objective="contrastive", batch=2, subjects=8, family_share=0.5), data_of(500))
    assert "a caption of a batch of 2 has 1 other to be told from" in text and "--batch 64" in text
    assert "of the picture book alone, and without effect here: subjects, family_share" in text
    book = Recipe(base="base", steps=5000, batch=40, family_share=0.1, components=8)
    (warned,) = preview(book, book, None, None).warnings
    assert "0.1 of a batch of 40 is no whole family of 8" in str(warned) and warned.better == {"batch": 80}


def test_twins_in_a_batch_are_counted(monkeypatch, tmp_path):
    monkeypatch.undo()
    pairs = []
    for number in range(64):
        # Files of their own, of which every eighth shows what its neighbour shows; every fourth caption is that of another.
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8), (number - (number % 8 == 1), 0, 0)).save(path)
        pairs.append(Pair(path, (f"A thing. Number {number if number % 4 else 0}.",)))
    recipe = Recipe(**DATA, batch=64, steps=20, components=8, learning_rate=1e-3)
    data = PairData("pairs", pairs)
    ahead = preview(recipe, recipe, data, data)
    fact = (
        "of the 64 rows of a batch, 16 have the picture of another, 16 have the caption of another, 64 have the short caption"
    )
    assert fact in "\n".join(ahead.facts)
    (warned,) = ahead.warnings
    assert "16 have the same picture and 16 have the same caption and 64 have the same short caption" in str(warned)
    # Nothing in it is the same for one caption a picture.
    alone = preview(recipe, recipe, data_of(64, lambda number: f"Thing {number}. It stands."), None)
    assert "0 have the picture of another, 0 have the caption of another, 0 have the short" in "\n".join(alone.facts)


def test_a_recipe_survives_the_state_it_is_kept_in():
    recipe = read_recipe("long-clip", warmup=200)
    assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe
