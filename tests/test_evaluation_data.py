"""Evaluation over the formats, splits and oddities of data: equal data, equal figures; all that is left out is said."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longclip.__main__ import main
from longclip.evaluation import measure, skipped
from longclip.evaluation.class_names import read_class_names
from longclip.evaluation.classification import read_classes
from longclip.evaluation.copies import describe_copies, find_copies
from longclip.evaluation.data import EvaluationSet, read_sets
from longclip.evaluation.features import Features, read_features
from longclip.evaluation.probe import measure_probe
from longclip.evaluation.zeroshot import measure_zeroshot
from longclip.images import ImageError
from longclip.textfiles import DataError

PICTURES, EACH = 200, 5
NAMES = [f"{number:03}.png" for number in range(PICTURES)]


def drawn(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def said(number: int, time: int) -> str:
    words = np.random.default_rng([number, time]).choice(["red", "boat", "fox", "barn", "kite", "sea", "two", "old", "hat"], 6)
    return f"{' '.join(words)}, “{number}”."


CAPTIONS = {name: [said(number, time) for time in range(EACH)] for number, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(NAMES):
        drawn(number).save(folder / name)
    return folder


class Toy:
    """An encoder of fixed random projections: float32 features that differ with every pixel and letter."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.logit_scale = 10.0
        self.pixels = generator.normal(size=(16 * 16 * 3, 24)).astype(np.float32)
        self.letters = generator.normal(size=(512, 24)).astype(np.float32)
        self.broken: list[str] = []

    def encode_image(self, pictures, refuse=None, batch_size=None):
        from longclip.images import open_image

        rows = np.full((len(pictures), 24), np.nan, dtype=np.float32)
        for number, picture in enumerate(pictures):
            try:
                pixels = np.asarray(open_image(picture).resize((16, 16)), dtype=np.float32).ravel() - 128
                rows[number] = self._unit(pixels @ self.pixels)
            except ImageError as error:
                if refuse is None:
                    raise
                refuse(number, error)
        return rows

    def encode_text(self, texts, batch_size=None):
        counts = [np.bincount(np.frombuffer(f"{text} ".encode(), np.uint8) + 0, minlength=512) for text in texts]
        return np.stack([self._unit(count.astype(np.float32) @ self.letters) for count in counts])

    @staticmethod
    def _unit(row):
        return row / np.linalg.norm(row)


def rows_of_a_table(root: Path, pictures: Path) -> str:
    with (root / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["image", "caption"], *([name, texts[time]] for time in range(EACH) for name, texts in CAPTIONS.items())]
        )
    return str(root / "x.csv")


def columns_of_a_table(root: Path, pictures: Path) -> str:
    with (root / "x.tsv").open("w", newline="") as file:
        header = ["filepath", *(f"caption_{time}" for time in range(EACH))]
        csv.writer(file, delimiter="\t").writerows([header, *([name, *texts] for name, texts in CAPTIONS.items())])
    return str(root / "x.tsv")


def coco(root: Path, pictures: Path) -> str:
    images = [{"id": number, "file_name": name} for number, name in enumerate(NAMES)]
    texts = [{"image_id": number, "caption": CAPTIONS[name][t]} for t in range(EACH) for number, name in enumerate(NAMES)]
    (root / "x.json").write_text(json.dumps({"images": images, "annotations": texts}))
    return str(root / "x.json")


def flickr30k(root: Path, pictures: Path) -> str:
    images = [
        {"filename": name, "split": "test", "sentences": [{"raw": text} for text in texts]} for name, texts in CAPTIONS.items()
    ]
    images.append({"filename": "none.png", "split": "train", "sentences": [{"raw": "Not of the test."}]})
    (root / "x.json").write_text(json.dumps({"images": images}))
    return str(root / "x.json")


def folder(root: Path, pictures: Path) -> str:
    for name in NAMES:
        os.link(pictures / name, root / name)
    lines = [json.dumps({"file_name": name, "text": texts[time]}) for time in range(EACH) for name, texts in CAPTIONS.items()]
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return str(root)


def webdataset(root: Path, pictures: Path) -> str:
    with tarfile.open(root / "x.tar", "w") as tar:
        for name, texts in CAPTIONS.items():
            for ending, value in (("png", (pictures / name).read_bytes()), ("json", json.dumps({"captions": texts}).encode())):
                entry = tarfile.TarInfo(f"{Path(name).stem}.{ending}")
                entry.size = len(value)
                tar.addfile(entry, io.BytesIO(value))
    return str(root / "x.tar")


MAKERS: list[Callable[[Path, Path], str]] = [rows_of_a_table, columns_of_a_table, coco, flickr30k, folder, webdataset]


def evaluate(source: str, pictures: Path, encoder: object) -> tuple[EvaluationSet, dict]:
    (data,) = read_sets(source, pictures=None if Path(source).is_dir() or source.endswith(".tar") else pictures)
    return data, measure(encoder, data, ["retrieval", "alignment"])


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_same_data_give_the_same_figures_in_every_format(tmp_path, pictures, make):
    """200 pictures with 5 captions each, to the last digit; the first figures against torchmetrics."""
    from torchmetrics.retrieval import RetrievalHitRate

    encoder = Toy()
    data, figures = evaluate(make(tmp_path, pictures), pictures, encoder)
    plain = EvaluationSet(
        "plain",
        [pictures / name for name in NAMES],
        [text for texts in CAPTIONS.values() for text in texts],
        owners=[number for number in range(PICTURES) for _ in range(EACH)],
    )
    assert figures == measure(encoder, plain, ["retrieval", "alignment"])
    assert (len(data.pictures), len(data.long)) == (PICTURES, PICTURES * EACH)
    assert data.split == ("test" if make is flickr30k else "")

    scores = torch.as_tensor(encoder.encode_text(plain.long).astype(np.float64) @ encoder.encode_image(plain.pictures).T)
    own = torch.as_tensor(plain.owners)[:, None] == torch.arange(PICTURES)
    for direction, matrix, right in (("text to image", scores, own), ("image to text", scores.T, own.T)):
        queries = torch.arange(len(matrix))[:, None].expand(matrix.shape)
        for k in (1, 5, 10):
            hits = RetrievalHitRate(top_k=k)(matrix.flatten(), right.flatten(), indexes=queries.flatten())
            assert figures[f"{direction} R@{k}"] == pytest.approx(100 * float(hits), abs=0.006)


def test_the_report_names_split_counts_and_what_was_left_out(tmp_path, pictures, tiny_model_folder, capsys):
    images = [
        {"filename": NAMES[number], "split": split, "sentences": [{"raw": "A fox."}, {"raw": " "}]}
        for number, split in enumerate(["train", "val", "val", "test", "test", "test"])
    ]
    (tmp_path / "x.json").write_text(json.dumps({"images": images}))
    command = ["evaluate", "retrieval", "--data", str(tmp_path / "x.json"), "--pictures", str(pictures)]
    command += ["--model", str(tiny_model_folder(77))]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("x, split test: 3 pictures, 3 captions\n")
    assert "sentences without words: 6 left out (image 1 of" in printed
    assert main([*command, "--split", "val", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["x"]["data set"]
    assert (found["split"], found["pictures"], found["captions"]) == ("val", 2, 2) and len(found["notes"]) == 1
    assert main([*command, "--split", "restval"]) == 2
    error = capsys.readouterr().err
    assert "no split 'restval'" in error and "train (1 pictures), val (2 pictures), test (3 pictures)" in error


def test_nothing_to_measure_is_an_error(tmp_path, pictures, tiny_model_folder, capsys):
    (tmp_path / "x.jsonl").write_text(json.dumps({"image": NAMES[0], "caption": "One."}))
    command = ["evaluate", "retrieval", "--data", str(tmp_path / "x.jsonl"), "--pictures", str(pictures)]
    assert main([*command, "--model", str(tiny_model_folder(77))]) == 2
    assert "nothing can be measured" in (error := capsys.readouterr().err) and "no two pictures to tell apart" in error


def test_pictures_of_equal_content_are_told(tmp_path, tiny_model_folder, capsys):
    drawn(0).save(tmp_path / "a.png")
    drawn(0).save(tmp_path / "b.bmp")  # another file, the same pixels
    drawn(1).save(tmp_path / "c.png")
    drawn(0).point(lambda value: value ^ 1).save(tmp_path / "d.png")
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.txt").write_text(f"Of {name}.")
    (data,) = read_sets(f"folder:{tmp_path}")
    assert find_copies(Toy().encode_image(data.pictures), data.pictures) == [[0, 1]]
    # A model that tells no pictures apart finds no copies that are none.
    assert find_copies(np.ones((4, 3), np.float32), data.pictures) == [[0, 1]]
    assert describe_copies([], data) == ""
    command = ["evaluate", "retrieval", "--data", f"folder:{tmp_path}", "--model", str(tiny_model_folder(77))]
    assert main(command) == 0
    assert "2 pictures have equal content with another, which counts against them: a.png = b.bmp" in capsys.readouterr().out


def test_broken_pictures_are_left_out_and_counted_once(tmp_path, tiny_model_folder, capsys):
    for number in range(6):
        drawn(number % 4).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(f"Of {number}.")
    for number in (1, 5):
        (tmp_path / f"{number}.png").write_bytes(b"words")
    (data,) = read_sets(f"folder:{tmp_path}")
    features = read_features(Toy(), data, broken=0.4)
    assert [path.name for path in features.data.pictures] == ["0.png", "2.png", "3.png", "4.png"]
    assert list(features.data.long) == ["Of 0.", "Of 2.", "Of 3.", "Of 4."] and features.images.shape == (4, 24)
    assert "2 of 6 pictures (33.3%) could not be read" in features.data.notes[-1]
    with pytest.raises(DataError, match=r"2 of 6 pictures \(33.3%\)(.|\n)*At most 30% may be broken"):
        read_features(Toy(), data, broken=0.3)
    with pytest.raises(ImageError, match="1.png is not"):
        read_features(Toy(), data)
    command = ["evaluate", "retrieval", "--data", f"folder:{tmp_path}", "--model", str(tiny_model_folder(77))]
    assert main([*command, "--broken", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{tmp_path.name}: 4 pictures, 4 captions") and "2 of 6 pictures (33.3%)" in printed
    assert main(command) == 2 and "(--broken SHARE leaves out pictures" in capsys.readouterr().err
    assert main([*command, "--broken", "1.5"]) == 2 and "--broken is 1.5" in capsys.readouterr().err


def classes(root: Path, **counts: int) -> Path:
    number = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for _ in range(count):
            drawn(number).save(root / name / f"{number}.png")
            number += 1
    return root


def test_a_class_is_its_folder_not_its_name(tmp_path):
    """Two classes with one name are two, and never told apart; the third is."""
    root = classes(tmp_path / "x", n1=2, n2=2, n3=2)
    (root / "classes.txt").write_text("n1 crane\nn2 crane\nn3 boat\n")
    data = read_classes(str(root))
    assert data.classes == ["n1", "n1", "n2", "n2", "n3", "n3"] and list(data.class_names.values()) == [
        "crane",
        "crane",
        "boat",
    ]
    assert any("names of several classes: 1" in note and "crane (n1 and n2)" in note for note in data.notes)

    class Planted:
        def encode_image(self, pictures):
            return np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 1, 1]]

        def encode_text(self, texts):
            return np.stack([np.eye(2, dtype=np.float32)[0 if "crane" in text else 1] for text in texts])

    found = measure_zeroshot(Features(Planted(), data), ("{}",))
    assert found == {"zero-shot accuracy": 33.33, "zero-shot accuracy, mean per class": 33.33, "classes": 3}


def test_folder_ids_are_no_class_names(tmp_path, tiny_model_folder, capsys):
    root = classes(tmp_path / "x", n01440764=1, n01443537=2)
    command = ["evaluate", "zeroshot", "--data", f"classes:{root}", "--model", str(tiny_model_folder(77))]
    assert main(command) == 2
    assert "2 classes are called by an id, such as n01440764" in capsys.readouterr().err
    assert main([*command, "probe"]) == 2  # of one picture to learn from
    (tmp_path / "names.txt").write_text("n01440764 tench\nn01443537 goldfish\nn01484850 great white shark\n", encoding="utf-16")
    capsys.readouterr()
    assert main([*command, "--class-names", str(tmp_path / "names.txt")]) == 0
    assert capsys.readouterr().out.startswith("x: 3 pictures, 2 classes\n")
    assert main([*command, "--class-names", "imagenet"]) == 2
    assert "there are 2 folders, and ImageNet has 1000" in capsys.readouterr().err


def test_imagenets_names_stand_in_the_order_of_its_folders():
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    keys = [f"n{number:08}" for number in range(1000)]
    names = read_class_names(Path("."), keys, "imagenet")
    assert list(names) == keys and list(names.values()) == list(IMAGENET_CLASSNAMES)


@pytest.mark.parametrize(
    ("content", "expected"),
    [('{"a": "one", "b": "one"}', ["one", "one"]), ('{"0": ["a", "first"], "1": ["b", "second"]}', ["first", "second"])],
)
def test_names_of_classes_as_json(tmp_path, content, expected):
    (tmp_path / "names.json").write_text(content, encoding="utf-16")
    assert list(read_class_names(tmp_path, ["a", "b"], tmp_path / "names.json").values()) == expected


def test_no_class_vanishes(tmp_path):
    """Endings do not decide; a folder without any picture is refused, unless a list of names leaves it out."""
    root = classes(tmp_path / "x", boat=1, cake=1, hat=1)
    (root / "cake" / "1.png").rename(root / "cake" / "cake")
    (root / "hat" / "deeper").mkdir()
    (root / "hat" / "2.png").rename(root / "hat" / "deeper" / "2.JFIF")
    (root / "loose.png").write_bytes((root / "boat" / "0.png").read_bytes())
    data = read_classes(f"classes:{root}")
    assert data.classes == ["boat", "cake", "hat"]
    assert data.notes == ("pictures outside the folders of classes: 1 left out (loose.png)",)
    (root / "empty").mkdir()
    (root / "notes").mkdir()
    (root / "notes" / "x.doc").write_text("words")
    with pytest.raises(ValueError, match="2 of the 5 folders of .* hold no picture: empty, notes"):
        read_classes(f"classes:{root}")
    (root / "classes.txt").write_text("hat a hat\nboat a boat\ncake a cake\n")
    data = read_classes(f"classes:{root}")
    assert list(data.class_names.values()) == ["a boat", "a cake", "a hat"]
    assert "folders without a name or picture: 2 left out (empty, notes)" in data.notes
    (root / "linked").symlink_to(classes(tmp_path / "y", linked=2) / "linked")
    (root / "classes.txt").unlink()
    (root / "empty").rmdir()
    (root / "notes" / "x.doc").unlink(), (root / "notes").rmdir()
    assert read_classes(f"classes:{root}").classes == ["boat", "cake", "hat", "linked", "linked"]


def test_splits_of_classes(tmp_path):
    root = tmp_path / "x"
    for part, counts in (("train", {"a": 2, "b": 1, "c": 1}), ("validation", {"a": 1, "b": 1}), ("test", {"b": 1})):
        classes(root / part, **counts)
    sizes = {split: len(read_classes(str(root), split=split).pictures) for split in (None, "train", "val", "test", "all")}
    assert sizes == {None: 1, "train": 4, "val": 2, "test": 1, "all": 7}
    data = read_classes(str(root))
    assert data.split == "test" and list(data.class_names) == ["a", "b", "c"] and len(data.training().pictures) == 4
    assert read_classes(str(root), split="train").training is None
    with pytest.raises(ValueError, match=r"no split 'restval': wanted one of its own \(.*test \(1 pictures\)"):
        read_classes(str(root), split="restval")


def test_a_probe_says_which_classes_it_never_saw(tmp_path):
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=8) for name in "abcdef"}

    class Planted:
        def encode_image(self, pictures):
            return np.stack([rows[name] / np.linalg.norm(rows[name]) for name in pictures]).astype(np.float32)

    training = EvaluationSet("t", list("abcd"), classes=["x", "y", "x", "y"])
    data = EvaluationSet("e", list("ef"), classes=["x", "z"], training=lambda: training)
    found = measure_probe(Features(Planted(), data))
    assert found["linear probe classes without training pictures"] == 1 and found["linear probe accuracy"] <= 50


def test_families_of_one_picture_are_no_families(tmp_path):
    rows = [{"file_name": f"{number}.png", "text": f"{number}.", "family": "fffg"[number]} for number in range(4)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    whole, families = read_sets(str(tmp_path))
    assert len(whole.pictures) == 4 and list(families.families) == ["f"] * 3
    assert families.notes == ("families of one picture: 1 left out",)


def test_sets_that_give_no_right_figure_are_refused():
    data = EvaluationSet("x", ["p", "q", "r"], ["a", "b", "c"], families=["f", "f", "g"])
    assert skipped(data, ["retrieval"]) == {"retrieval": "the family g has one picture, and so nothing to tell it from"}
    for owners in ([0, 0], [0, 2], [0, -1]):
        with pytest.raises(ValueError, match="x has no picture, or no caption of it, for the owner"):
            EvaluationSet("x", ["p", "q"], ["a", "b"], owners=owners)
    with pytest.raises(ValueError, match="x has the class 'b', which class_names lacks"):
        EvaluationSet("x", ["p", "q"], classes=["a", "b"], class_names={"a": "A"})


def test_the_splits_of_the_picture_book(capsys):
    (data,) = read_sets("picturebook", scenes=2, families=0)
    assert data.split == "held-out" and read_sets("picturebook", scenes=2, families=0, split="shifted")[0].split == "shifted"
    with pytest.raises(ValueError, match="split 'test' is unknown; there are train, held-out, shifted"):
        read_sets("picturebook", split="test")
