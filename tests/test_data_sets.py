"""What a data set says of itself, in every format: whose captions are whose, which split is which, and what was left out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from data_files import png, write_json, write_lines, write_table, write_tar

from longclip.data.held_out import read_training_pairs
from longclip.data.left_out import LeftOut
from longclip.data.pairs import DataError, Pair
from longclip.data.readers import read_data
from longclip.data.readers.walking import walk_pictures

NAMES = [f"{number}.png" for number in range(6)]
CAPTIONS = {name: [f"{number}: said {time}, “so”." for time in range(5)] for number, name in enumerate(NAMES)}
EVERY = [(name, text) for name, texts in CAPTIONS.items() for text in texts]
# Rows of one picture apart from each other: picture 0, 1, … 5, then 0 again.
APART = [(name, CAPTIONS[name][time]) for time in range(5) for name in NAMES]


def make(shape: str, root: Path) -> str:
    """The captions of all pictures in a file of this shape; returns what `read_data` is to be given."""
    if shape == "csv rows":
        return str(write_table(root / "x.csv", ["image", "caption"], APART))
    if shape == "open_clip":
        return str(write_table(root / "x.csv", ["filepath", "title"], EVERY, "\t"))
    if shape == "Flickr8k captions.txt":
        return str(write_table(root / "captions.txt", ["image", "caption"], EVERY))
    if shape == "Flickr8k token.txt":
        lines = [f"{name}#{number}\t{text}\n" for name, texts in CAPTIONS.items() for number, text in enumerate(texts)]
        (root / "Flickr8k.token.txt").write_text("".join(lines))
        return str(root / "Flickr8k.token.txt")
    if shape == "tsv in UTF-16":
        return str(write_table(root / "x.tsv", ["file_name", "text"], EVERY, "\t", "utf-16"))
    if shape == "columns":
        header = ["image", *(f"caption_{number}" for number in range(5))]
        return str(write_table(root / "x.csv", header, [[name, *texts] for name, texts in CAPTIONS.items()]))
    if shape == "Python's lists":
        return str(write_table(root / "x.csv", ["filename", "raw"], [[name, str(texts)] for name, texts in CAPTIONS.items()]))
    if shape == "JSON lines":
        return str(write_lines(root / "x.jsonl", [{"image": name, "caption": text} for name, text in APART]))
    if shape == "JSON list":
        return str(write_json(root / "x.json", [{"image": name, "caption": text} for name, text in APART]))
    if shape == "objects":
        rows = [{"image": name, "sentences": [{"raw": text} for text in texts]} for name, texts in CAPTIONS.items()]
        return str(write_lines(root / "x.jsonl", rows))
    if shape == "written in several ways":
        ways = ["{}", "./{}", str(root) + "/{}", "in/../{}", ".//{}"]
        rows = [{"image": way.format(name), "caption": CAPTIONS[name][n]} for name in NAMES for n, way in enumerate(ways)]
        return str(write_lines(root / "x.jsonl", rows))
    if shape == "several files":
        for number in range(5):
            write_lines(root / f"{number}.jsonl", [{"image": name, "caption": CAPTIONS[name][number]} for name in NAMES])
        return "table:" + str(root / "{0..4}.jsonl")
    if shape == "coco":
        images = [{"id": number, "file_name": name} for number, name in enumerate(NAMES)]
        said = [{"image_id": NAMES.index(name), "caption": text} for name, text in APART]
        return str(write_json(root / "x.json", {"images": images, "annotations": said}))
    if shape == "coco, a picture under several ids":
        images = [{"id": number, "file_name": name} for number, (name, _) in enumerate(APART)]
        said = [{"image_id": number, "caption": text} for number, (_, text) in enumerate(APART)]
        return str(write_json(root / "x.json", {"images": images, "annotations": said}))
    if shape == "karpathy":
        images = [{"filename": name, "sentences": [{"raw": text} for text in texts]} for name, texts in CAPTIONS.items()]
        return str(write_json(root / "x.json", {"images": images}))
    if shape == "sharegpt4v":
        turns = [{"image": name, "conversations": [{"from": "gpt", "value": text}]} for name, text in APART]
        return str(write_json(root / "x.json", turns))
    if shape == "folder":
        write_lines(root / "metadata.jsonl", [{"file_name": name, "text": text} for name, text in APART])
        return f"folder:{root}"
    if shape == "folder of folders":
        for part in ("one", "two"):
            rows = [{"file_name": name, "captions": CAPTIONS[name]} for name in NAMES[:: 1 if part == "one" else -1]]
            write_lines(root / part / "metadata.jsonl", rows[:3] if part == "one" else rows[:3][::-1])
        return f"folder:{root}"
    if shape == "webdataset":
        members = []
        for number, (name, texts) in enumerate(CAPTIONS.items()):
            members += [(name, png(number)), (f"{number}.json", json.dumps({"captions": texts}).encode())]
        return str(write_tar(root / "x.tar", members))
    assert shape == "webdataset, several texts"
    members = []
    for number, (name, texts) in enumerate(CAPTIONS.items()):
        members += [(name, png(number)), *((f"{number}.{n}.txt", text.encode()) for n, text in enumerate(texts))]
    return str(write_tar(root / "x.tar", members))


SHAPES = [
    *("csv rows", "open_clip", "Flickr8k captions.txt", "Flickr8k token.txt", "tsv in UTF-16", "columns", "Python's lists"),
    *("JSON lines", "JSON list", "objects", "written in several ways", "several files", "coco"),
    *("coco, a picture under several ids", "karpathy", "sharegpt4v", "folder", "folder of folders"),
    *("webdataset", "webdataset, several texts"),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_one_picture_are_one_pair_in_every_format(tmp_path, monkeypatch, shape):
    monkeypatch.chdir(tmp_path)
    pairs = read_data(make(shape, tmp_path)).pairs
    assert [pair.captions for pair in pairs] == [tuple(texts) for texts in CAPTIONS.values()]
    if "webdataset" in shape:
        assert [pair.picture.read() for pair in pairs] == [png(number) for number in range(6)]
    else:
        assert [pair.picture.name for pair in pairs] == NAMES


def test_what_rows_of_one_picture_say_besides(tmp_path):
    rows = [
        {"image": "a.png", "caption": "One.", "label": float("nan")},
        {"image": "b.png", "caption": "Two.", "short_caption": "2"},
        {"image": "a.png", "caption": "One.", "label": 3.0, "family": "f", "short_caption": "1"},
    ]
    assert list(read_data(str(write_lines(tmp_path / "x.jsonl", rows))).pairs) == [
        Pair(tmp_path / "a.png", ("One.", "One."), "1", "3", "f"),
        Pair(tmp_path / "b.png", ("Two.",), "2"),
    ]


@pytest.mark.parametrize(
    ("fields", "captions"),
    [
        ({"caption": ["A.", None, " ", float("nan"), "B."]}, ("A.", "B.")),
        ({"title": 7}, ("7",)),
        ({"text": 0}, ("0",)),
        ({"caption": float("nan"), "title": "T."}, ("T.",)),
        ({"caption": None, "captions": "['A.', \"B's\"]"}, ("A.", "B's")),
        ({"caption": "[A title in brackets]"}, ("[A title in brackets]",)),
        ({"caption": "[1, 2]"}, ("[1, 2]",)),
        ({"captions": [{"caption": "A."}, {"sentence": "B."}, {"raw": ["C.", "D."]}]}, ("A.", "B.", "C.", "D.")),
        ({"caption": "A.", "captions": ["A.", "B.", "B."]}, ("A.", "B.", "B.")),
        ({f"caption_{n}": f"{n}." for n in (10, 2, 1)}, ("1.", "2.", "10.")),
    ],
)
def test_one_way_to_read_a_caption(tmp_path, fields, captions):
    (pair,) = read_data(str(write_lines(tmp_path / "x.jsonl", [{"image": "a.png"} | fields]))).pairs
    assert pair.captions == captions


def test_rows_without_words_are_counted_and_named(tmp_path):
    rows = [["a.png", "A."], ["b.png", ""], ["c.png", "nan"], ["", "Whose?"], ["d.png", "D."]]
    file = write_table(tmp_path / "x.csv", ["image", "caption"], rows)
    data = read_data(str(file))
    assert [pair.captions for pair in data.pairs] == [("A.",), ("D.",)]
    assert data.skipped == (
        f"rows without caption: 2 left out (line 3 of {file}, line 4 of {file})",
        f"rows without picture: 1 left out (line 5 of {file})",
    )


def karpathys(path: Path, folder: str = "") -> Path:
    splits = ["train", "restval", "val", "test", "test", "train"]
    images = [
        {"filename": name, "split": split, "sentences": [{"raw": text} for text in CAPTIONS[name]]}
        | ({"filepath": folder} if folder else {})
        for name, split in zip(NAMES, splits, strict=True)
    ]
    return write_json(path, {"images": images})


@pytest.mark.parametrize("format", ["flickr30k", "coco"])
def test_the_splits_of_karpathys_files(tmp_path, format):
    (tmp_path / "val2014").mkdir()
    source = f"{format}:{karpathys(tmp_path / 'annotations' / 'x.json', 'val2014')}"
    found = {
        split: [pair.picture.name for pair in read_data(source, split=split).pairs]
        for split in ("train", "val", "test", "restval", "all", "train+restval", "validation")
    }
    assert found["train"] == [NAMES[0], NAMES[5]] and found["restval"] == [NAMES[1]] and found["test"] == NAMES[3:5]
    assert found["val"] == found["validation"] == [NAMES[2]] and found["all"] == NAMES
    assert found["train+restval"] == [NAMES[0], NAMES[1], NAMES[5]]
    data = read_data(source, preferred=("test", "val"))
    assert data.split == "test" and data.splits == {"train": 2, "restval": 1, "val": 1, "test": 2}
    assert data.pairs[0].picture == tmp_path / "val2014" / NAMES[3]
    message = r"no split 'dev2'.*\(train \(2 pictures\), restval \(1 pictures\), val .*, test .*\)"
    with pytest.raises(DataError, match=message):
        read_data(source, split="dev2")
    training, val = read_training_pairs(source, None, None)
    assert (training.split, val.split) == ("train", "val") and [len(training), len(val)] == [2, 1]
    training, val = read_training_pairs(source, None, "train+restval")
    assert len(training) == 3 and "split train+restval" in training.title
    assert read_training_pairs(source, None, "all")[1] is None


def test_the_split_of_cocos_file_names(tmp_path):
    value = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "A."}]}
    for name, split in (("captions_val2017.json", "val"), ("captions_train2014.json", "train")):
        data = read_data(str(write_json(tmp_path / name, value)), preferred=("test", "val", "train"))
        assert (data.split, data.splits) == (split, {split: 1})
    with pytest.raises(DataError, match=r"no split 'test': wanted one of its own \(train \(1 pictures\)\)"):
        read_data(str(tmp_path / "captions_train2014.json"), split="test")
    data = read_data(str(write_json(tmp_path / "trainable.json", value)))
    assert data.splits == {} and data.split == "all"
    with pytest.raises(DataError, match="has no splits, and so no 'test': leave the split out, or say all"):
        read_data(str(tmp_path / "trainable.json"), split="test")


def test_sharegpt4vs_first_thousand_pictures_are_held_out(tmp_path):
    """A picture that comes again later stays with the first thousand, all its captions together."""
    numbers = [*range(1003), 5]
    records = [
        {"image": f"{number}.jpg", "conversations": [{"from": "gpt", "value": f"{place}."}]}
        for place, number in enumerate(numbers)
    ]
    file = str(write_json(tmp_path / "x.json", [{"conversations": []}, *records]))
    test, val, train = (read_data(file, split=name) for name in ("test", "val", "train"))
    assert [pair.picture.name for pair in test.pairs] == [f"{number}.jpg" for number in range(1000)]
    assert list(test.pairs) == list(val.pairs) and test.pairs[5].captions == ("5.", "1003.")
    assert [pair.captions for pair in train.pairs] == [("1000.",), ("1001.",), ("1002.",)]
    training, kept = read_training_pairs(file, None, None)
    assert len(training) == 3 and len(kept) == 1000
    assert read_data(str(write_json(tmp_path / "y.json", records[:1000]))).splits == {}, "none would be left to train on"


def test_splits_of_folders_and_columns(tmp_path):
    for part in ("train", "validation", "other"):
        for name in NAMES[:2]:
            (tmp_path / part / "in").mkdir(parents=True, exist_ok=True)
            (tmp_path / part / "in" / name).write_bytes(png())
            (tmp_path / part / "in" / name).with_suffix(".txt").write_text(part)
    data = read_data(str(tmp_path), split="val")
    assert [pair.captions for pair in data.pairs] == [("validation",)] * 2 and data.splits == {"train": 2, "val": 2}
    assert len(read_data(str(tmp_path)).pairs) == 6
    rows = [[name, "A.", "test" if number % 2 else "train"] for number, name in enumerate(NAMES)]
    file = write_table(tmp_path / "x.csv", ["image", "caption", "split"], [*rows, [NAMES[0], "B.", "test"]])
    data = read_data(str(file), split="test")
    assert [(pair.picture.name, pair.captions) for pair in data.pairs] == [
        *((name, ("A.",)) for name in NAMES[1::2]),
        (NAMES[0], ("B.",)),
    ]
    assert data.skipped == ("pictures in more than one split: 1",)
    with pytest.raises(DataError, match="has the splits val, test and none called train: say which with --split"):
        read_training_pairs(
            str(write_table(tmp_path / "y.csv", ["image", "caption", "split"], [["a", "A.", "val"], ["b", "B.", "test"]])),
            None,
            None,
        )


def test_pictures_of_any_name_links_and_junk(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for place in (root / "in", root / "__MACOSX", root / ".hidden", outside / "deep"):
        place.mkdir(parents=True)
    for name in ("a.jfif", "b.JPE", "c", "d.avif", "in/e.heic", "f.dat", "__MACOSX/x.png", ".hidden/y.png", ".z.png"):
        (root / name).write_bytes(png())
    (outside / "deep" / "g.png").write_bytes(png())
    (root / "notes.doc").write_text("BMW")
    (root / "notes.txt").write_text("words")
    (root / "linked").symlink_to(outside)
    (root / "linked too").symlink_to(outside / "deep")
    (root / "in" / "loop").symlink_to(root)
    (outside / "back").symlink_to(tmp_path)
    (root / "h.png").symlink_to(outside / "deep" / "g.png")
    (root / "nowhere.png").symlink_to(root / "none")
    left_out = LeftOut()
    found = [path.relative_to(root).as_posix() for path in walk_pictures(root, left_out)]
    assert found == ["a.jfif", "b.JPE", "c", "d.avif", "f.dat", "h.png", "in/e.heic", "linked/deep/g.png"]
    assert set(left_out) == {
        "hidden files and junk: 3 left out (.hidden, .z.png, __MACOSX)",
        "files that are no pictures: 1 left out (notes.doc)",
        "linked folders that were read already: 3 left out (loop, back, linked too)",
        "links that lead nowhere, and what is no file: 1 left out (nowhere.png)",
    }


def test_tables_that_are_no_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    for source in ("table:/dev/zero", f"table:{tmp_path / 'pipe.jsonl'}", f"coco:{tmp_path / 'pipe.jsonl'}"):
        with pytest.raises(DataError, match="is no regular file"):
            read_data(source)
    write_tar(tmp_path / "empty.tar", [])
    with pytest.raises(DataError, match="holds no picture with a caption"):
        read_data(str(tmp_path / "empty.tar"))


def test_pictures_named_by_a_roots_link_or_its_place(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "place")
    rows = [
        {"image": name, "caption": name[-7:]} for name in ("a.png", str(tmp_path / "link/a.png"), str(tmp_path / "place/a.png"))
    ]
    (pair,) = read_data(str(write_lines(tmp_path / "x.jsonl", rows)), tmp_path / "link").pairs
    assert pair.picture == tmp_path / "link" / "a.png" and len(pair.captions) == 3


def test_pictures_beside_folders_with_metadata_stay(tmp_path):
    write_lines(tmp_path / "listed" / "metadata.jsonl", [{"file_name": "a.png", "text": "Listed."}])
    for place in ("listed/a.png", "listed/unlisted.png", "b.png", "other/c.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(png())
        (tmp_path / place).with_suffix(".txt").write_text(f"Beside {place}.")
    found = {pair.picture.relative_to(tmp_path).as_posix(): pair.captions[0] for pair in read_data(f"folder:{tmp_path}").pairs}
    assert found == {"listed/a.png": "Listed.", "b.png": "Beside b.png.", "other/c.png": "Beside other/c.png."}
    from longclip.gallery import Gallery

    gallery = Gallery.from_folder(tmp_path)
    assert dict(zip(gallery.ids, gallery.captions, strict=True)) == found
