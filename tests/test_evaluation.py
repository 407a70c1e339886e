"""Measures, against planted answers."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from longclip.commands.evaluate import format_tables
from longclip.evaluation.data import EvaluationSet, read_sets
from longclip.evaluation.retrieval import measure_retrieval
from longclip.evaluation.zeroshot import class_features, measure_zeroshot
from longclip.picturebook.files import write_pages
from longclip.picturebook.pages import draw_pages


class Planted:
    """An encoder whose features are looked up: pictures and texts are names of rows."""

    def __init__(self, **rows):
        self.rows = {name: np.array(row, np.float32) / np.linalg.norm(row) for name, row in rows.items()}

    def encode_text(self, texts):
        return np.stack([self.rows[text] for text in texts])

    encode_image = encode_text


def test_recall_counts_both_directions_and_ties_against():
    encoder = Planted(p0=[1, 0, 0], p1=[0, 1, 0], p2=[0, 0, 1], a=[1, 0, 0], b=[1, 0.1, 0], c=[0, 0, 1], same=[1, 1, 0])
    found = measure_retrieval(encoder, EvaluationSet("x", ["p0", "p1", "p2"], ["a", "b", "c"]))
    assert found["long text to image R@1"] == pytest.approx(66.67)
    assert found["long image to text R@1"] == 100
    assert "long text to image R@5" not in found, "five places say nothing about three pictures"
    tied = measure_retrieval(encoder, EvaluationSet("x", ["p0", "p1", "p2"], ["same", "same", "c"]))
    assert tied["long image to text R@1"] == pytest.approx(33.33), "equal captions do not tell pictures apart"
    assert tied["long text to image R@1"] == pytest.approx(33.33)


def test_families_compare_their_members_only():
    encoder = Planted(p0=[1, 0, 0], p1=[0.9, 0.2, 0], q0=[1, 0, 0.01], q1=[0, 1, 0], a=[1, 0, 0], b=[0.5, 0.5, 0])
    data = EvaluationSet("x", ["p0", "p1", "q0", "q1"], ["a", "b", "a", "b"], families=["f", "f", "g", "g"])
    found = measure_retrieval(encoder, data)
    assert set(found) == {"long text to image R@1", "long image to text R@1"}
    assert found["long text to image R@1"] == 100


def test_zero_shot_picks_the_class_whose_templates_fit():
    names = {"A cat.": [1, 0], "See a cat.": [1, 0.2], "A dog.": [0, 1], "See a dog.": [0.2, 1]}
    encoder = Planted(p=[1, 0.1], q=[0.1, 1], r=[1, 0], **names)
    templates = ("A {}.", "See a {}.")
    weights = class_features(encoder, ["cat", "dog"], templates)
    assert np.allclose(np.linalg.norm(weights, axis=1), 1)
    data = EvaluationSet("x", ["p", "q", "r"], [], classes=["cat", "dog", "dog"])
    assert measure_zeroshot(encoder, data, templates) == {"zero-shot accuracy": 66.67, "classes": 2}


def test_the_picture_book_gives_three_sets():
    scenes, hard, late = read_sets("picturebook", scenes=5, families=2)
    assert len(scenes.pictures) == len(scenes.long) == len(scenes.short) == len(scenes.classes) == 5 and not scenes.families
    assert len(hard.pictures) == 16 and len(set(hard.families)) == 2 and len(set(late.families)) == 2
    assert scenes.long == read_sets("picturebook", scenes=5, families=2)[0].long
    assert scenes.long != read_sets("picturebook", seed=1, scenes=5, families=2)[0].long


def test_a_folder_gives_its_captions_and_families(tmp_path):
    write_pages(draw_pages("held-out", 0, 8, 4), tmp_path, size=32)
    whole, families = read_sets(str(tmp_path))
    assert len(whole.pictures) == 8 and len(whole.short) == 8 and len(set(families.families)) == 2
    (tmp_path / "metadata.jsonl").unlink()
    with pytest.raises(ValueError, match="has no captions: wanted a metadata.jsonl"):
        read_sets(str(tmp_path))


def test_tables_have_a_column_a_model():
    table = format_tables({"scenes": {"one": {"R@1": 50.0}, "two": {"R@1": 75.25}}})
    assert table.splitlines()[0] == "scenes" and "50" in table and "75.25" in table and "two" in table


def test_the_command_prints_every_figure_as_json(tiny_model_folder, capsys):
    from longclip.commands import evaluate

    folder = str(tiny_model_folder(77))
    args = SimpleNamespace(
        measure=[], data="picturebook", model=[folder], seed=0, scenes=6, families=1, split="held-out", json=True
    )
    assert evaluate.run(args) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"scenes", "hard families", "late families"}
    scenes = figures["scenes"][folder]
    assert {"long text to image R@1", "short image to text R@5", "zero-shot accuracy"} <= set(scenes)
    assert figures["late families"][folder]["long text to image R@1"] <= 12.5, "77 tokens cannot tell late members apart"
    args.measure = ["recal"]
    with pytest.raises(ValueError, match="measure recal is unknown; there are retrieval, zeroshot"):
        evaluate.run(args)
