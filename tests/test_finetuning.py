"""Fine-tuning on a data set from the command line, with good data and bad."""

from __future__ import annotations

import json
import re

import pytest

from longclip.__main__ import main
from longclip.encoder import load
from longclip.picturebook.files import write_pages
from longclip.picturebook.pages import draw_pages


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """An image folder of 60 scenes; read it, never write to it."""
    folder = tmp_path_factory.mktemp("pictures")
    write_pages(draw_pages("train", 5, 60), folder, size=64)
    return folder


def rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]


def run(base, data, out, *flags) -> int:
    shared = ["--base", base, "--data", data, "--out", out, "--workers", 0, "--batch", 40, "--warmup", 1]
    return main(["train", *map(str, [*shared, *flags])])


def table(folder, pictures, entries) -> str:
    """A table of captions beside which the scenes' pictures lie."""
    (folder / "pairs.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries), "utf-8")
    return f"table:{folder / 'pairs.jsonl'}"


def test_an_image_folder_makes_a_longclip(tmp_path, tiny_clip, pictures, capsys):
    flags = ("--steps", 3, "--held-out", 10, "--validate-on", 10, "--name", "mine", "--components", 16)
    assert run(tiny_clip, f"folder:{pictures}", tmp_path / "mine", *flags) == 0
    assert "mine is in" in capsys.readouterr().out
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "50 pairs of" in card and "long text to image R@1" in card and "--held-out 10" in card
    encoder = load(tmp_path / "mine")
    assert encoder.context_length == 248 and encoder.encode_text(["a fox"]).shape == (1, 64)
    assert json.loads((tmp_path / "mine" / "recipe.json").read_text())["pairs"] == 120
    assert main(["export", str(tmp_path / "mine"), "--format", "hugging_face", "--out", str(tmp_path / "exported")]) == 0
    assert (tmp_path / "exported" / "model.safetensors").is_file()


def test_epochs_give_the_number_of_steps(tmp_path, tiny_clip, pictures):
    assert run(tiny_clip, pictures, tmp_path / "a", "--epochs", 2, "--held-out", 10, "--validate-on", 0, "--components", 8) == 0
    assert json.loads((tmp_path / "a" / "recipe.json").read_text())["recipe"]["steps"] == 3  # 100 pairs in batches of 40


def test_a_caption_of_ten_thousand_words_and_empty_ones_are_taken(tmp_path, tiny_clip, pictures, capsys):
    entries = [{"file_name": row["file_name"], "caption": row["long_caption"]} for row in rows(pictures)]
    entries[0]["caption"] = "A fox. " + "It runs far away over the hills. " * 1500
    data = table(tmp_path, pictures, entries)
    flags = ("--pictures", pictures, "--steps", 2, "--held-out", 5, "--validate-on", 5, "--components", 8)
    assert run(tiny_clip, data, tmp_path / "out", *flags) == 0


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (lambda rows: rows[:1], "at least one left to train on"),
        (lambda rows: [{"file_name": row["file_name"]} for row in rows], "no caption|without a caption|caption"),
        (lambda rows: [row | {"file_name": f"gone-{row['file_name']}"} for row in rows], "cannot be read|could not be read"),
    ],
    ids=["one picture", "no captions", "missing pictures"],
)
def test_bad_data_is_one_sentence(entries, message, tmp_path, tiny_clip, pictures, capsys):
    data = table(tmp_path, pictures, entries(rows(pictures)))
    flags = ("--pictures", pictures, "--steps", 2, "--held-out", 5, "--validate-on", 5, "--components", 8)
    assert run(tiny_clip, data, tmp_path / "out", *flags) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and re.search(f"error: .*({message})", error)


def test_an_unreadable_folder_is_one_sentence(tmp_path, tiny_clip, capsys):
    assert run(tiny_clip, f"folder:{tmp_path / 'nowhere'}", tmp_path / "out", "--steps", 2) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_few_broken_pictures_are_reported(tmp_path, tiny_clip, pictures, capsys):
    entries = [{"file_name": row["file_name"], "caption": row["long_caption"]} for row in rows(pictures)]
    entries[20]["file_name"] = "gone.png"
    flags = ("--pictures", pictures, "--steps", 3, "--held-out", 5, "--validate-on", 0, "--components", 8)
    assert run(tiny_clip, table(tmp_path, pictures, entries), tmp_path / "out", *flags) == 0
    assert "could not be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["long-clip", "--config", "mine.toml"], "give a recipe without --config"),
        (["picturebook-words", "--config", "ViT-B-32"], "for the weights of --base, and there is none"),
        (["long-clip", "--base", "picturebook-clip", "--config", "ViT-B-32"], "picturebook-clip is none: leave it away"),
    ],
)
def test_a_configuration_is_that_of_the_base(tmp_path, capsys, flags, message):
    assert main(["train", *flags, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_too_small_a_batch_is_one_sentence(tmp_path, tiny_clip, capsys):
    code = main(
        ["train", "--base", str(tiny_clip), "--steps", "2", "--batch", "20", "--out", str(tmp_path), "--validate-on", "0"]
    )
    assert code == 2 and "at most 19 principal components" in capsys.readouterr().err


def test_a_fault_in_a_process_that_prepares_pictures_is_one_sentence(tmp_path, tiny_clip, pictures, capsys):
    entries = [row | {"file_name": "gone.png", "caption": row["long_caption"]} for row in rows(pictures)]
    entries = [row | {"file_name": f"gone{number}.png"} for number, row in enumerate(entries)]
    data = table(tmp_path, pictures, entries)
    flags = ("--pictures", pictures, "--steps", 2, "--held-out", 0, "--components", 8, "--workers", 1)
    assert run(tiny_clip, data, tmp_path / "out", *flags) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and "cannot be read" in error[0] and "Traceback" not in error[0]


def test_a_process_that_is_killed_is_one_sentence():
    from longclip.training.batches import workers_named

    with (
        pytest.raises(OSError, match=r"a process that prepares pictures has ended \(DataLoader worker .*fewer of them"),
        workers_named(),
    ):
        raise RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed. \nDetails")
    with pytest.raises(RuntimeError, match="something else"), workers_named():
        raise RuntimeError("something else")
