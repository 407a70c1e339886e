"""Every value that a recipe can be given is right, or refused in one sentence that names it: the key, or the flag."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from small_pipelines import SMALL
from small_runs import CLIP

from longclip.__main__ import main
from longclip.diffusion.recipe import DiffusionRecipe
from longclip.diffusion.recipe import read_recipe as read_diffusion
from longclip.recipes import OptionError
from longclip.training.recipe import CHOICES, Recipe, read_recipe

BASED = replace(CLIP, base="base", model={}, data="table:x.jsonl", batch=64)


def numbers(kind: type, *types: type) -> list[str]:
    return [entry.name for entry in fields(kind) if type(entry.default) in types]


@pytest.mark.parametrize("recipe", [BASED, SMALL], ids=["training", "diffusion"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -0.5, -7, "7", True, None, [1]], ids=repr)
def test_no_number_is_taken_that_is_none(recipe, value):
    for name in numbers(type(recipe), int, float):
        whole = name in numbers(type(recipe), int)
        with pytest.raises(OptionError, match=f"^{name} is .*wanted") as caught:
            replace(recipe, **{name: value})
        assert "\n" not in str(caught.value) and caught.value.option == name
        if isinstance(value, float):
            assert not whole or "whole number" in str(caught.value)


@pytest.mark.parametrize("recipe", [BASED, SMALL], ids=["training", "diffusion"])
def test_no_text_is_taken_that_is_none(recipe):
    for name in [entry.name for entry in fields(recipe) if entry.default is None or isinstance(entry.default, str)]:
        for value in ("", "  ", "two\nlines", 7):
            with pytest.raises(OptionError, match=f"^{name} "):
                replace(recipe, **{name: value})


def test_zero_is_taken_where_it_means_something():
    refused = set()
    for name in numbers(Recipe, int, float):
        try:
            replace(BASED, **{name: 0})
        except OptionError:
            refused.add(name)
    wanted = {"crop", "family_size", "components", "epochs", "batch", "accumulate", "learning_rate", "keep", "save_every"}
    assert refused == wanted
    rates = {"autoencoder_rate", "learning_rate", "detector_rate", "things"}
    for name in numbers(DiffusionRecipe, float):
        if name in rates:
            with pytest.raises(OptionError, match=f"{name} is 0, wanted above 0"):
                replace(SMALL, **{name: 0})
        else:
            replace(SMALL, **{name: 0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2**63}, "seed is 9,223,372,036,854,775,808, wanted at least 0 and at most 9,223,372,036,854,775,807"),
        ({"held_out": 1.5}, "held_out is 1.5, wanted a share below 1 of the pairs, or a whole number"),
        ({"warmup": 20.5}, "warmup is 20.5, wanted a share below 1 of the steps, or a whole number"),
        ({"freeze_text": -2}, "freeze_text is -2, wanted at least -1"),
        ({"smoothing": 1.0}, "smoothing is 1.0, wanted at least 0 and below 1"),
        ({"beta2": 1}, "beta2 is 1, wanted at least 0 and below 1"),
        ({"crop": 1.2}, "crop is 1.2, wanted above 0 and at most 1"),
        ({"crop": 0}, "crop is 0, wanted above 0"),
        ({"last_rate": 2}, "last_rate is 2, wanted a share between 0 and 1"),
        ({"logit_scale": 0.5}, "logit_scale is 0.5, wanted 1 to 100, or 0"),
        ({"objective": "square", "distillation": 0.5}, "distillation softens the targets of a softmax"),
        ({"data": "picturebook", "pictures": "folder"}, "pictures is of a data set, and none is named"),
        ({"data": "picturebook", "split": "train"}, "split is of a data set, and none is named"),
        (
            {"objective": "primary-component", "batch": 33},
            r"batch is 33; .* 32 principal .* at least 34 pairs, at most 31",
        ),
    ],
    ids=str,
)
def test_a_value_out_of_its_range_is_told_the_range(changes, message):
    with pytest.raises(OptionError, match=message):
        replace(BASED, **changes)


def test_the_ends_of_ranges_are_taken():
    replace(BASED, seed=2**63 - 1, held_out=1, warmup=1.0, freeze_vision=-1, smoothing=0.999, crop=1, logit_scale=100)
    replace(BASED, objective="primary-component", batch=34)
    assert replace(BASED, steps=10, warmup=0.04).warmup_steps == 1 and replace(BASED, steps=10, warmup=0).warmup_steps == 0
    assert replace(BASED, steps=10, warmup=1).warmup_steps == 1 and replace(BASED, steps=10, warmup=3.0).warmup_steps == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed", "-1"], "error: --seed is -1, wanted at least 0"),
        (["--seed", "18446744073709551616"], "error: --seed is 18,446,744,073,709,551,616, wanted"),
        (["--held-out", "-3"], "error: --held-out is -3, wanted a share below 1"),
        (["--held-out", "nan"], "error: --held-out is nan, wanted a finite number"),
        (["--batch", "0"], "error: --batch is 0, wanted at least 2"),
        (["--chunk", "-1"], "error: --chunk is -1, wanted at least 0"),
        (["--validate-on", "-1"], "error: --validate-on is -1, wanted at least 0"),
        (["--learning-rate", "inf"], "error: --learning-rate is inf, wanted a finite number"),
        (["--steps", "-5"], "error: --steps is -5, wanted at least 0"),
        (["--epochs", "0", "--data", "table:x"], "error: --epochs is 0, wanted above 0"),
        (["--steps", "1e3"], "argument --steps: invalid int value: '1e3'"),
        (["--learning-rate", "fast"], "argument --learning-rate: invalid number value: 'fast'"),
        (["--workers", "-1"], "argument --workers: -1 is below 0"),
        (["--short", "summary"], "argument --short: invalid choice: 'summary' (choose from"),
        (["--base", ""], "error: --base is '', wanted a text of one line"),
        (["--subjects", "1000", "--steps", "2"], "error: --subjects is 1000, and there are"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_command_names_the_flag(flags, message, tmp_path, tiny_clip, capsys):
    shared = [] if "--base" in flags else ["--base", str(tiny_clip)]
    try:
        code = main(["train", *shared, "--out", str(tmp_path / "out"), "--workers", "0", *flags])
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and "Traceback" not in error


def test_a_file_of_toml_names_the_key(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    for line, message in (("seed = -1", "error: seed is -1"), ("held_out = nan", "error: held_out is nan")):
        path.write_text(f'base = "picturebook-clip"\n{line}\n')
        assert main(["train", str(path), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="size is 40, wanted a multiple of 16"):
        read_diffusion(size=40)
    assert main(["train-diffusion", "--out", str(tmp_path / "out"), "--seed", "-1"]) == 2
    assert "error: --seed is -1" in capsys.readouterr().err


def test_the_choices_that_the_readme_promises_are_there():
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    row = next(line for line in readme.splitlines() if line.startswith("| captions |"))
    promised = re.findall(r"`(?:--short )?([\w-]+)`", row.split(";")[0])
    assert len(promised) == 3 and set(promised) < set(CHOICES["short"]) and "detail" in promised
    assert read_recipe("debias-clip").detail_share == Recipe(base="b", short="detail").detail_share == 1.0
    assert Recipe(base="b", short_details=0.3).detail_share == 0.3
