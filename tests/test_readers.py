from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longclip.data.pairs import DataError, Pair
from longclip.data.pictures import read_pair
from longclip.data.readers import read_data
from longclip.preprocessing import Preprocessing


def content(seed: int = 0, size: tuple[int, int] = (40, 30), format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def write(path: Path, value: object) -> Path:
    """A file of this text, these bytes, or this value as JSON (of a path that ends in l: a list as JSON lines)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, bytes):
        path.write_bytes(value)
    elif isinstance(value, str):
        path.write_text(value, encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in value), encoding="utf-8")
    else:
        path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_tar(path: Path, members: dict[str, bytes | str], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, value in members.items():
            value = value.encode() if isinstance(value, str) else value
            entry = tarfile.TarInfo(name)
            entry.size = len(value)
            tar.addfile(entry, io.BytesIO(value))
    return path


def sharegpt4v(name: str | None, *turns: str) -> dict[str, object]:
    speakers = ("human", "gpt") * 2
    record = {"conversations": [{"from": who, "value": words} for who, words in zip(speakers, turns, strict=False)]}
    return record | ({"image": name} if name else {})


def run_python(code: str, *arguments: str) -> str:
    root = Path(__file__).resolve().parents[1]
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def test_sharegpt4v(tmp_path):
    records = [
        sharegpt4v("coco/1.jpg", "<image>\nDescribe.", "First caption.\nMore.", "And?", "No."),
        sharegpt4v(None, "Say hello.", "Hello."),
        sharegpt4v("sam/2.jpg", "Describe.", " "),
        sharegpt4v("sam/3.jpg", "Describe.", "Third."),
    ]
    file = write(tmp_path / "share.json", records)
    data = read_data(str(file))
    assert data.name == "share"
    assert list(data.pairs) == [
        Pair(tmp_path / "coco/1.jpg", ("First caption.\nMore.",)),
        Pair(tmp_path / "sam/3.jpg", ("Third.",)),
    ]
    assert data.skipped == (
        f"records without picture: 1 left out (record 2 of {file})",
        f"records without caption: 1 left out (record 3 of {file})",
    )
    (tmp_path / "pictures").mkdir()
    assert read_data(f"sharegpt4v:{file}", tmp_path / "pictures").pairs[0].picture == tmp_path / "pictures/coco/1.jpg"


def test_a_json_list_longer_than_its_window(tmp_path, monkeypatch):
    monkeypatch.setattr("longclip.data.readers.records._CHUNK", 50)
    records = [sharegpt4v(f"{n}.jpg", "?", f"Caption [{n}], {{é}} " + "x" * (n * 7 % 200)) for n in range(100)]
    for text in (json.dumps(records), json.dumps(records, indent=2, ensure_ascii=False)):
        data = read_data(str(write(tmp_path / "x.json", text)))
        assert [pair.captions[0] for pair in data.pairs] == [r["conversations"][1]["value"].strip() for r in records]
    with pytest.raises(DataError, match="record 100 of .* is not JSON, or the file is cut off"):
        read_data(str(write(tmp_path / "x.json", json.dumps(records)[:-10])))
    with pytest.raises(DataError, match="record 101 of .* cut off"):
        read_data(str(write(tmp_path / "x.json", json.dumps(records)[:-1])))


def test_table_fields(tmp_path):
    rows = [
        {
            "file_name": "1.jpg",
            "long_caption": " Long. ",
            "caption": "ignored",
            "short_caption": "S",
            "label": 0,
            "family": "f",
        },
        {"image": "in/2.jpg", "long_caption": "", "text": "Two.", "subject": "fox"},
        {"filepath": "x/../3.jpg", "title": "Three.", "captions": ["Three.", "Drei.", " "], "extra": {}},
        {"image_path": "4.jpg", "caption": ["A.", "B."]},
        {"path": str(tmp_path / "5.jpg"), "captions": ["Only."]},
    ]
    expected = [
        Pair(tmp_path / "1.jpg", ("Long.",), "S", "0", "f"),
        Pair(tmp_path / "in/2.jpg", ("Two.",), label="fox"),
        Pair(tmp_path / "3.jpg", ("Three.", "Drei.")),
        Pair(tmp_path / "4.jpg", ("A.", "B.")),
        Pair(tmp_path / "5.jpg", ("Only.",)),
    ]
    for name in ("t.jsonl", "t.json"):
        assert list(read_data(str(write(tmp_path / name, rows))).pairs) == expected
    lines = "\n\n".join(map(json.dumps, rows)).encode()
    assert list(read_data(str(write(tmp_path / "bom.jsonl", b"\xef\xbb\xbf" + lines))).pairs) == expected


@pytest.mark.parametrize(("ending", "delimiter"), [("csv", ","), ("tsv", "\t"), ("csv", "\t"), ("csv", ";")])
def test_csv(tmp_path, ending, delimiter):
    quoted = '"He said ""hi"", then\nleft; a\ttab, a comma."'
    lines = [["\ufeffFilepath", "Title", "captions"], ["1.jpg", quoted, '"[""Another.""]"'], ["2.jpg", "Plain.", ""]]
    file = write(tmp_path / f"t.{ending}", "\r\n".join(map(delimiter.join, lines)) + "\r\n\r\n")
    words = 'He said "hi", then\nleft; a\ttab, a comma.'
    assert list(read_data(str(file)).pairs) == [
        Pair(tmp_path / "1.jpg", (words, "Another.")),
        Pair(tmp_path / "2.jpg", ("Plain.",)),
    ]


GOOD = '{"image": "a.jpg", "caption": "A."}\n'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.jsonl", GOOD + "{", "line 2 of .*t.jsonl is not JSON"),
        ("t.jsonl", GOOD + "[1]", r"line 2 of .* is \[1\], wanted an object"),
        ("t.jsonl", "[" * 100_000, "line 1 of .* is not JSON"),
        ("t.jsonl", b'\xff\xfe"', "line 1 of .* is not text"),
        ("t.jsonl", GOOD.encode() + b'{"image": "\xe4.jpg"}', "line 2 of .*t.jsonl is not text in UTF-8"),
        ("t.jsonl", '{"image": "b.jpg", "caption": " "}', "line 1 of .* has no caption: .*found image, caption"),
        ("t.jsonl", '{"caption": "A."}', "line 1 of .* has no picture: wanted a file name as file_name, filename, image"),
        ("t.jsonl", '{"image": 5, "caption": "A."}', "line 1 of .* has no picture"),
        ("t.jsonl", '{"image": "a.jpg", "caption": true}', "has True as caption, wanted text"),
        ("t.jsonl", '{"image": "a.jpg", "caption": {"x": 1}}', "as caption, wanted text"),
        ("t.jsonl", '{"image": "a.jpg", "caption": "A.", "label": []}', r"has \[\] as label"),
        ("t.jsonl", '{"image": "../a.jpg", "caption": "A."}', "'../a.jpg', which lies outside"),
        ("t.jsonl", '{"image": "x/../../a.jpg", "caption": "A."}', "which lies outside"),
        ("t.jsonl", '{"image": "/etc/hostname", "caption": "A."}', "which lies outside"),
        ("t.jsonl", "\n", "holds no picture with a caption"),
        ("t.json", "[1]", "record 1 of .* is 1, wanted an object"),
        ("t.json", '[{"image": "a.jpg", "caption": "A."} {}]', "record 2 of .* is not JSON"),
        ("t.json", "[" * 100_000, "record 1 of .* is nested too deeply"),
        ("t.json", '{"x": 1}', "is of no known format .*: name the format, as in sharegpt4v:t.json"),
        ("t.csv", "image,caption\na.jpg,A.\nb.jpg,B, and more.\n", "line 3 of .* has 3 cells, the header 2"),
        ("t.csv", 'image,caption\na.jpg,"never closed\nb.jpg,B.\n', "line 3 of .* is not CSV: unexpected end"),
        ("t.csv", "image,caption\na.jpg,\n", "line 2 of .* has no caption"),
        ("t.csv", "name,words\na.jpg,A.\n", "line 2 of .* has no picture: .*found name, words"),
        ("t.csv", 'image,captions\na.jpg,"[""A."', "begin like a list"),
        ("t.csv", "image,captions\na.jpg,\"['A.' 'B.']\"\n", "begin like a list"),
        ("t.csv", "image,caption\na.jpg,A.\n".encode("utf-16-le"), "line 1 of .* a zero byte, as UTF-16 without its mark"),
        ("t.csv", "image,caption\na.jpg,Ä.\n".encode("latin-1"), "line 2 of .* is not text in UTF-8"),
        ("t.csv", "image,caption,caption\na.jpg,A.,B.\n", "line 1 of .* names the column 'caption' twice"),
        ("t.csv", "", "holds no picture with a caption"),
        ("t.xlsx", b"PK", "is of no known format"),
    ],
)
def test_faulty_files_are_named(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        read_data(str(write(tmp_path / name, text)))


@pytest.mark.parametrize(
    ("format", "value", "message"),
    [
        ("sharegpt4v", [sharegpt4v("../x.jpg", "?", "A.")], "record 1 of .* lies outside"),
        ("sharegpt4v", [{"image": "x.jpg"}], "record 1 of .* has no list of conversations"),
        ("sharegpt4v", {"a": 1}, "is not a JSON list"),
        ("coco", {"images": [], "annotations": [{}]}, "is not a file of COCO captions .KeyError"),
        ("coco", {"images": [{"id": 1, "file_name": 2}], "annotations": [{"image_id": 1, "caption": "A"}]}, "names 2 as"),
        ("coco", [], "holds a list, wanted an object"),
        ("coco", "{", "is not JSON, or is cut off"),
        ("flickr30k", {"images": [{"filename": "x.jpg"}]}, "image 1 of .* is not as Karpathy's"),
        ("flickr30k", {"images": [{"filename": "/x.jpg", "sentences": [{"raw": "A."}]}]}, "lies outside"),
    ],
)
def test_faulty_data_sets_are_named(tmp_path, format, value, message):
    with pytest.raises(DataError, match=message):
        read_data(f"{format}:{write(tmp_path / 'x.json', value)}")


def test_folder(tmp_path):
    root = tmp_path / "gallery"
    write(root / "in" / "a.JPG", content())
    write(root / "in" / "a.txt", "\ufeffOf a. ")
    write(root / "b.png", content())
    write(root / "._b.png", b"resource fork")
    write(root / "notes.txt", "words")
    data = read_data(str(root))
    assert list(data.pairs) == [Pair(root / "in" / "a.JPG", ("Of a.",))] and data.name == "gallery"
    assert data.skipped == (
        "hidden files and junk: 1 left out (._b.png)",
        "pictures without caption: 1 left out (b.png)",
    )

    write(root / "metadata.csv", "file_name,text\nb.png,Of b.\n")
    assert list(read_data(f"folder:{root}").pairs) == [Pair(root / "b.png", ("Of b.",))]
    write(root / "metadata.jsonl", [{"file_name": "b.png", "text": "Of b."}])
    with pytest.raises(DataError, match="has both metadata.jsonl and metadata.csv"):
        read_data(str(root))
    for part in ("train", "test"):
        write(tmp_path / "parts" / part / "metadata.jsonl", [{"file_name": "b.png", "text": "Of b."}])
    parts = read_data(str(tmp_path / "parts"))
    assert [(pair.picture.parent.name, pair.split) for pair in parts.pairs] == [("test", "test"), ("train", "train")]
    assert parts.splits == {"test": 1, "train": 1} and len(read_data(str(tmp_path / "parts"), split="train")) == 1
    with pytest.raises(DataError, match="hold their own pictures"):
        read_data(str(root), tmp_path)
    write(root / "in" / "a.txt", b"\xff")
    (root / "metadata.csv").unlink(), (root / "metadata.jsonl").unlink()
    with pytest.raises(DataError, match="line 1 of .*a.txt is not text in UTF-8"):
        read_data(str(root))


def test_urban1k(tmp_path):
    for name in ("1", "10", "2"):
        write(tmp_path / "image" / f"{name}.jpg", content())
        write(tmp_path / "caption" / f"{name}.txt", f"Street {name}.\n")
    (tmp_path / "caption" / "2.txt").unlink()
    data = read_data(str(tmp_path))
    assert list(data.pairs) == [Pair(tmp_path / "image" / f"{n}.jpg", (f"Street {n}.",)) for n in ("1", "10")]
    assert data.skipped == ("pictures without caption: 1 left out (2.jpg)",)
    with pytest.raises(DataError, match="has no folder image"):
        read_data(f"urban1k:{tmp_path / 'image'}")


def test_coco(tmp_path):
    images = [{"id": n, "file_name": f"{n:03}.jpg"} for n in (7, 8, 9)]
    said = [(9, "Nine."), (7, " A\n"), (9, "Neun."), (5, "Nobody's."), (7, "")]
    value = {"info": {}, "images": images, "annotations": [{"image_id": i, "caption": text} for i, text in said]}
    file = write(tmp_path / "annotations" / "captions_val2017.json", value)
    data = read_data(str(file))
    expected = {"007.jpg": ("A",), "009.jpg": ("Nine.", "Neun.")}
    assert list(data.pairs) == [Pair(file.parent / name, texts, split="val") for name, texts in expected.items()]
    assert data.skipped == (
        f"annotations without words or picture: 2 left out (annotation 4 of {file}, annotation 5 of {file})",
        "pictures without caption: 1 left out (008.jpg)",
    )
    (tmp_path / "val2017").mkdir()
    assert read_data(str(file)).pairs[0].picture == tmp_path / "val2017" / "007.jpg"


def test_flickr30k(tmp_path):
    (tmp_path / "flickr30k-images").mkdir()
    root = tmp_path / "flickr30k-images"
    image = {"filename": "1.jpg", "split": "train", "sentences": [{"raw": "One. "}, {"raw": "Un."}]}
    test = {"filename": "2.jpg", "split": "test", "sentences": [{"raw": "Two."}]}
    file = write(tmp_path / "dataset_flickr30k.json", {"images": [image, test], "dataset": "flickr30k"})
    expected = [Pair(root / "1.jpg", ("One.", "Un."))]
    first, second = read_data(str(file)).pairs
    assert first == Pair(root / "1.jpg", ("One.", "Un."), split="train") and second.split == "test"

    file = write(tmp_path / "results.token", "1.jpg#0\tOne.\r\n1.jpg#1\tUn.\r\n")
    assert list(read_data(str(file)).pairs) == expected
    with pytest.raises(DataError, match="line 3 of .* is not NAME.jpg#NUMBER"):
        read_data(str(write(file, file.read_text() + "2.jpg Two.\n")))

    expected.append(Pair(root / "2.jpg", ('A "quoted one.',)))
    barred = 'image_name| comment_number| comment\n1.jpg| 0| One.\n2.jpg| 0| A "quoted one.\n1.jpg| 1| Un.\n2.jpg| 4   lost\n'
    data = read_data(str(write(tmp_path / "results.csv", barred)))
    assert list(data.pairs) == expected and data.skipped == (
        f"sentences without words: 1 left out (line 5 of {tmp_path / 'results.csv'})",
    )
    commas = 'image,comment\n1.jpg,One.\n1.jpg,Un.\n2.jpg,"A ""quoted one."\n'
    assert list(read_data(str(write(tmp_path / "c.csv", commas))).pairs) == expected
    with pytest.raises(DataError, match="line 2 of .* lacks a picture or a comment"):
        read_data(f"flickr30k:{write(tmp_path / 'd.csv', 'a,b' + chr(10) + '1,2')}")


def test_webdataset(tmp_path):
    pictures = {f"{n}": content(n, format="WEBP") for n in range(4)}
    write_tar(
        tmp_path / "train-000.tar",
        {
            "./in/0.webp": pictures["0"],
            "./in/0.txt": "Of the web.",
            "./in/0.json": json.dumps({"long_caption": "Nought.", "short_caption": "0", "label": "n"}),
            "1.WEBP": pictures["1"],
            "1.cls": "5",
            "lost.txt": "No picture.",
            "2.webp": pictures["2"],
            "1.txt": "One.",
            "bad.webp": pictures["2"],
            "bad.json": "{",
        },
    )
    write_tar(tmp_path / "train-001.tar", {"3.webp": pictures["3"], "3.json": '{"url": "x"}', "3.txt": "Three."})
    write(tmp_path / "readme.md", "x")
    for place in (tmp_path, tmp_path / "train-{000..001}.tar", tmp_path / "train-*.tar"):
        data = read_data(str(place))
        assert [pair.captions for pair in data.pairs] == [("Nought.",), ("One.",), ("Three.",)]
        assert [pair.picture.read() for pair in data.pairs] == [pictures[n] for n in "013"]
    assert data.pairs[0].short == "0" and data.pairs[0].label == "n" and data.pairs[1].label == ""
    assert set(data.skipped) == {
        "samples without picture: 1 left out (lost)",
        "samples without caption: 2 left out (2, bad)",
        "fields of a .json that cannot be read: 1 left out (bad.json)",
    }
    pixels = Image.open(io.BytesIO(pictures["3"])).convert("RGB").resize((8, 8), Image.Resampling.BICUBIC)
    assert np.array_equal(read_pair(data.pairs[2], Preprocessing((8, 8), mode="squash")), np.asarray(pixels).transpose(2, 0, 1))
    with pytest.raises(FileNotFoundError, match="no shard .*train-002.tar"):
        read_data(str(tmp_path / "train-{000..002}.tar"))
    for wrong in ("{5..1}", "{0..999999999999}", "{000..999}{000..999}"):
        with pytest.raises(DataError, match="stands for no file or for more than"):
            read_data(str(tmp_path / f"{wrong}.tar"))


def test_damaged_shards(tmp_path):
    members = {f"{n}.{ending}": value for n in range(3) for ending, value in (("png", content(n)), ("txt", f"{n}."))}
    whole = write_tar(tmp_path / "whole.tar", members).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        third, last = tar.getmembers()[2], tar.getmembers()[-1]
    end = last.offset_data + 512
    broken = bytearray(whole)
    broken[third.offset + 3] ^= 255
    cases = {
        "in-data": whole[: third.offset_data + 99],
        "in-header": whole[: third.offset + 99],
        "between": whole[: third.offset],
        "no-end": whole[:end],
        "no-sum": bytes(broken),
        "words": b"words" * 999,
        "empty": b"",
    }
    for name, value in cases.items():
        with pytest.raises(DataError, match=f"{name}.tar is (cut off or damaged|no whole tar)"):
            read_data(str(write(tmp_path / f"{name}.tar", value)))
    with pytest.raises(DataError, match="is compressed: unpack it"):
        read_data(str(write_tar(tmp_path / "x.tar.gz", members, "w:gz")))
    write_tar(tmp_path / "twice.tar", {"a.png": content(), "a.txt": "A."})
    write_tar(tmp_path / "twice.tar", {"a.txt": "B."}, "a")
    with pytest.raises(DataError, match="holds 'a.txt' twice"):
        read_data(str(tmp_path / "twice.tar"))


def test_a_shard_with_a_negative_size_ends(tmp_path):
    entry = tarfile.TarInfo("a.png")
    entry.size = -512
    header = entry.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(DataError):
        read_data(str(write(tmp_path / "x.tar", header * 3 + bytes(1024))))


def test_which_format(tmp_path):
    write(tmp_path / "both" / "metadata.jsonl", [{"file_name": "a.png", "text": "A."}])
    write_tar(tmp_path / "both" / "a.tar", {"a.png": content(), "a.txt": "A."})
    with pytest.raises(DataError, match="could be webdataset or folder: name the format, as in webdataset:both"):
        read_data(str(tmp_path / "both"))
    assert len(read_data(f"webdataset:{tmp_path / 'both'}")) == 1
    with pytest.raises(DataError, match="the format 'lavva' is unknown; there are sharegpt4v, table"):
        read_data("lavva:x.json")
    with pytest.raises(DataError, match="is a folder, and the format table a file"):
        read_data(f"table:{tmp_path}")
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_data(str(tmp_path / "none.json"))
    with pytest.raises(FileNotFoundError, match="no folder of pictures"):
        read_data(str(tmp_path / "both" / "metadata.jsonl"), tmp_path / "none")


@pytest.mark.slow
def test_a_long_table_is_read_without_its_pictures(tmp_path):
    rows, words = 50_000, "word " * 40
    with (tmp_path / "t.jsonl").open("w") as file:
        for n in range(rows):
            file.write(json.dumps({"image": f"{n}.jpg", "caption": f"{n} {words}"}) + "\n")
    code = (
        "import resource, sys; from longclip.data.readers import read_data\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, data = used(), read_data(sys.argv[1])\n"
        "print(len(data), data.pairs[12_345].captions[0][:10], (used() - before) * 1024)"
    )
    done = run_python(code, str(tmp_path / "t.jsonl"))
    number, *words, peak = done.split()
    assert number == str(rows) and words == ["12345", "word"]
    # The block, and room for it to grow by; a list of pairs would take some 50 MB besides the text.
    assert int(peak) < 2.5 * (tmp_path / "t.jsonl").stat().st_size


def test_importing_the_readers_is_light():
    code = "import sys, longclip.data.readers, longclip.data.captions; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    assert run_python(code).strip() == "set()"
