"""What is measured on, retrieval, zero-shot and the command, against planted answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longclip.__main__ import main
from longclip.commands.evaluate import format_report
from longclip.evaluation.data import EvaluationSet, draw_subset, read_sets, sets_of_pairs
from longclip.evaluation.features import Features
from longclip.evaluation.retrieval import measure_retrieval
from longclip.evaluation.zeroshot import PLAIN, class_features, measure_zeroshot, read_templates
from longclip.picturebook.files import write_pages
from longclip.picturebook.pages import draw_pages


class Planted:
    """An encoder whose features are looked up: pictures and texts are names of rows."""

    def __init__(self, **rows):
        self.rows = {name: np.array(row, np.float32) / np.linalg.norm(row) for name, row in rows.items()}

    def encode_text(self, texts):
        return np.stack([self.rows[text] for text in texts])

    encode_image = encode_text


def retrieval(encoder, *columns, **others):
    return measure_retrieval(Features(encoder, EvaluationSet("x", *columns, **others)))


def test_recall_counts_both_directions_and_ties_against():
    encoder = Planted(p0=[1, 0, 0], p1=[0, 1, 0], p2=[0, 0, 1], a=[1, 0, 0], b=[1, 0.1, 0], c=[0, 0, 1], same=[1, 1, 0])
    found = retrieval(encoder, ["p0", "p1", "p2"], ["a", "b", "c"])
    assert found["long text to image R@1"] == pytest.approx(66.67)
    assert found["long image to text R@1"] == 100
    assert "long text to image R@5" not in found, "five places say nothing about three pictures"
    tied = retrieval(encoder, ["p0", "p1", "p2"], ["same", "same", "c"])
    assert tied["long image to text R@1"] == pytest.approx(33.33), "equal captions do not tell pictures apart"
    assert tied["long text to image R@1"] == pytest.approx(33.33)


def test_families_compare_their_members_only():
    encoder = Planted(p0=[1, 0, 0], p1=[0.9, 0.2, 0], q0=[1, 0, 0.01], q1=[0, 1, 0], a=[1, 0, 0], b=[0.5, 0.5, 0])
    found = retrieval(encoder, ["p0", "p1", "q0", "q1"], ["a", "b", "a", "b"], families=["f", "f", "g", "g"])
    assert set(found) == {"long text to image R@1", "long image to text R@1"}
    assert found["long text to image R@1"] == 100


def test_any_of_several_captions_is_right():
    """Against recall counted over every pair of captions and pictures, one by one."""
    generator = np.random.default_rng(0)
    names = [f"p{i}" for i in range(12)], [f"t{i}" for i in range(30)]
    encoder = Planted(**{name: generator.normal(size=6) for name in (*names[0], *names[1])})
    owners = [*range(12), *generator.integers(0, 12, 18).tolist()]
    found = retrieval(encoder, *names, owners=owners)
    cosines = encoder.encode_text(names[1]) @ encoder.encode_image(names[0]).T
    for k in (1, 5, 10):
        text = [owner in np.argsort(-row)[:k] for owner, row in zip(owners, cosines, strict=True)]
        image = [picture in {owners[i] for i in np.argsort(-cosines[:, picture])[:k]} for picture in range(12)]
        assert found[f"text to image R@{k}"] == pytest.approx(100 * np.mean(text), abs=0.01)
        assert found[f"image to text R@{k}"] == pytest.approx(100 * np.mean(image), abs=0.01)
    families = ["f", "g"] * 6
    within = retrieval(encoder, *names, owners=owners, families=families)
    own = [max(range(12), key=lambda p: (p % 2 == owner % 2, row[p])) for owner, row in zip(owners, cosines, strict=True)]
    assert within["text to image R@1"] == pytest.approx(100 * np.mean(np.array(own) == owners), abs=0.01)


def test_zero_shot_picks_the_class_whose_templates_fit():
    names = {"A cat.": [1, 0], "See a cat.": [1, 0.2], "A dog.": [0, 1], "See a dog.": [0.2, 1]}
    encoder = Planted(p=[1, 0.1], q=[0.1, 1], r=[1, 0], **names)
    templates = ("A {}.", "See a {}.")
    features = Features(encoder, EvaluationSet("x", ["p", "q", "r"], classes=["cat", "dog", "dog"]))
    assert np.allclose(np.linalg.norm(class_features(features, ["cat", "dog"], templates), axis=1), 1)
    found = measure_zeroshot(features, templates)
    assert found == {"zero-shot accuracy": 66.67, "zero-shot accuracy, mean per class": 75.0, "classes": 2}


def test_zero_shot_chooses_among_classes_that_do_not_occur():
    encoder = Planted(p=[1, 0, 0], **{name: np.eye(3)[i % 3] for i, name in enumerate("abcdef")})
    data = EvaluationSet("x", ["p"], classes=["d"], class_names={name: name for name in "abcdef"})
    found = measure_zeroshot(Features(encoder, data), ("{}",))
    assert (found["zero-shot accuracy"], found["zero-shot top-5 accuracy"], found["classes"]) == (0, 100, 6)


def test_templates(tmp_path):
    assert read_templates("plain") == PLAIN
    assert len(read_templates("openai")) == 80 and "a bad photo of a {}." in read_templates("openai")
    assert len(read_templates("simple")) == 7
    file = tmp_path / "own.txt"
    file.write_text("one {}\n\ntwo {}\n")
    assert read_templates(str(file)) == ("one {}", "two {}")
    file.write_text("one\n")
    for name, message in ((str(file), "line 1 of .* is 'one'"), ("none", "wanted plain, simple, openai, or a file")):
        with pytest.raises(ValueError, match=message):
            read_templates(name)


def test_the_picture_book_gives_three_sets():
    scenes, hard, late = read_sets("picturebook", scenes=5, families=2, training_scenes=3)
    assert len(scenes.pictures) == len(scenes.long) == len(scenes.short) == len(scenes.classes) == 5 and not scenes.families
    assert len(hard.pictures) == 16 and len(set(hard.families)) == 2 and len(set(late.families)) == 2
    assert scenes.long == read_sets("picturebook", scenes=5, families=0)[0].long
    assert scenes.long != read_sets("picturebook", seed=1, scenes=5, families=0)[0].long
    training = scenes.training()
    assert len(training.pictures) == len(training.classes) == 3 and hard.training is None
    assert [len(data.pictures) for data in read_sets("picturebook", limit=9)] == [9, 8, 8]
    assert [data.name for data in read_sets("picturebook", limit=2)] == ["scenes"]


def test_a_folder_gives_its_captions_and_families(tmp_path):
    write_pages(draw_pages("held-out", 0, 8, 4), tmp_path, size=32)
    whole, families = read_sets(str(tmp_path))
    assert len(whole.pictures) == 8 and len(whole.short) == 8 and len(set(families.families)) == 2
    assert whole.name == tmp_path.name and not whole.families and len(set(whole.classes)) <= 2
    assert [Path(picture).name for picture in families.pictures] == [f"{number:06d}.png" for number in range(8)]
    some, family = read_sets(str(tmp_path), limit=5)
    assert len(some.pictures) == len(some.long) == 5 and len(set(family.families)) == 1 and len(family.pictures) == 4
    (tmp_path / "metadata.jsonl").unlink()
    with pytest.raises(ValueError, match="no picture with a caption"):
        read_sets(str(tmp_path))


def test_a_file_of_coco_captions_gives_several_a_picture(tmp_path):
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    images = [{"id": 7 + number, "file_name": f"{number}.png"} for number in range(3)]
    words = [(7, "a"), (8, "b"), (7, "c"), (9, "d"), (8, "e")]
    annotations = [{"image_id": image, "caption": caption} for image, caption in words]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    (data,) = read_sets(f"coco:{tmp_path / 'captions.json'}", pictures=tmp_path)
    assert data.long == ["a", "c", "b", "e", "d"] and data.owners == [0, 0, 1, 1, 2]
    taken = data.take([2, 0])
    assert taken.long == ["d", "a", "c"] and taken.owners == [0, 1, 1] and taken.pictures[0].name == "2.png"


def test_pictures_inside_shards_are_read_when_asked_for(tmp_path):
    from longclip.data.pairs import Pair, PairData, Slice

    file = tmp_path / "shard"
    file.write_bytes(b"onetwo")
    data = PairData("x", [Pair(Slice(file, 3, 3), ("a",)), Pair(Slice(file, 0, 3), ("",)), Pair(tmp_path, ("b",))])
    (found,) = sets_of_pairs(data)
    assert list(found.pictures) == [b"two", tmp_path] and list(found.long) == ["a", "b"] and not found.owners


def test_subsets_are_those_of_the_seed():
    data = EvaluationSet("x", list(range(100)), [str(i) for i in range(100)])
    first = draw_subset(data, 10, seed=1)
    assert list(first.pictures) == sorted(first.pictures) and [str(i) for i in first.pictures] == first.long
    assert list(first.pictures) == list(draw_subset(data, 10, seed=1).pictures)
    assert list(first.pictures) != list(draw_subset(data, 10, seed=2).pictures)
    assert draw_subset(data, 100) is data


def test_sets_that_do_not_fit_are_refused():
    for columns, message in (({"long": ["a"]}, "1 long for 2"), ({"long": ["a"], "owners": [0, 1]}, "2 owners for 1")):
        with pytest.raises(ValueError, match=message):
            EvaluationSet("x", ["p", "q"], **columns)


def test_the_report_has_a_column_a_model_and_a_row_a_curve():
    one, two = {"R@1": 50.0, "by r": {"1": 5.0, "10": 2.0}}, {"R@1": 75.25, "effective length": None}
    data = EvaluationSet("scenes", ["p"], ["a", "b"], owners=[0, 0], split="test", notes=("rows without caption: 1 left out",))
    figures, left_out = {"scenes": {"one": one, "two": two}}, {"scenes": {"probe": "there are no classes"}}
    report = format_report(figures, left_out, {"scenes": data})
    assert [line.split() for line in report.splitlines()] == [
        ["scenes,", "split", "test:", "1", "pictures,", "2", "captions"],
        ["one", "two"],
        ["R@1", "50", "75.25"],
        ["effective", "length", "–", "–"],
        [],
        ["by", "r", "1", "10"],
        ["one", "5", "2"],
        ["two", "–", "–"],
        ["probe", "is", "left", "out:", "there", "are", "no", "classes"],
        ["rows", "without", "caption:", "1", "left", "out"],
    ]


def test_the_command_prints_every_figure_as_json(tiny_model_folder, capsys):
    folder = str(tiny_model_folder(77))
    arguments = ["evaluate", "--model", folder, "--scenes", "6", "--families", "1", "--batch", "4"]
    assert main([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"scenes", "hard families", "late families"}
    scenes = figures["scenes"][folder]
    counts = {"split": "held-out", "pictures": 6, "captions": 6, "notes": []}
    assert figures["scenes"]["data set"].items() >= counts.items()
    assert {"long text to image R@1", "short image to text R@5", "zero-shot accuracy", "temperature"} <= set(scenes)
    assert figures["late families"][folder]["long text to image R@1"] <= 12.5, "77 tokens cannot tell late members apart"
    assert main([*arguments, "zeroshot", "--templates", "simple", "--limit", "8"]) == 0
    printed = capsys.readouterr().out
    assert "zeroshot is left out: the members of a family show the same" in printed and "classes" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recal",), "measure recal is unknown; there are retrieval, zeroshot, probe, length, alignment"),
        (("--data", "cocoa:x"), "cocoa"),
        (("--data", "no-such-folder"), "no-such-folder"),
        (("--limit", "0"), "limit is 0"),
        (("--batch", "0"), "--batch is 0"),
        (("--templates", "clever"), "wanted plain, simple, openai"),
    ],
)
def test_errors_are_one_sentence(capsys, arguments, message):
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
