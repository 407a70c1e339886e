"""Recipes: what ships can be read, and what is wrong is refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_runs import CLIP

from longclip.training.recipe import RECIPES, read_recipe


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_a_recipe_that_ships_can_be_read_and_changed(name):
    assert read_recipe(name).name == name
    assert read_recipe(name, steps=5, seed=None, data="table:pairs.jsonl", hard_negatives=0.0).steps == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "clip"}, "objective 'clip' is unknown; there are contrastive, primary-component, square"),
        ({"summary_drop": 7}, "summary_drop is 7, wanted a share"),
        ({"batch": 1}, "batch is 1, wanted at least 2"),
        ({"batch": "64"}, "batch is '64', wanted a whole number"),
        ({"learning_rate": True}, "learning_rate is True, wanted a number"),
        ({"base": None, "model": {}}, "either a base model or a model config"),
        ({"data": "table:x.jsonl", "hard_negatives": 1.0}, "which only the picture book writes"),
        ({"token_states": 1.0}, "keeps the states of a base model"),
        ({"objective": "primary-component", "short": "none"}, "short cannot be 'none'"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CLIP, **changes)


def test_a_wrong_file_is_refused_by_name(tmp_path):
    choices = "picturebook-clip, picturebook-long, picturebook-longclip"
    with pytest.raises(ValueError, match=f"no recipe 'picturebok-clip'.*{choices}"):
        read_recipe("picturebok-clip")
    (tmp_path / "a.toml").write_text('name = "a"\nsteps = 1\nbase = "b"\nlearningrate = 1\n')
    with pytest.raises(ValueError, match="a.toml has learningrate"):
        read_recipe(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text("name = a\n")
    with pytest.raises(ValueError, match="b.toml is not TOML"):
        read_recipe(tmp_path / "b.toml")
