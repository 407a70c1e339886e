"""Samples of webdataset shards: their keys, their fields, and what is left out of them."""

from __future__ import annotations

import json
import os
import re
import tarfile

from data_files import png, write_tar

from longclip.data.readers import read_data

# webdataset's own rule, from its documentation: the key is everything up to the first dot of the last part of the path.
_KEY = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")


def test_dotted_names_in_shards_are_webdatasets(tmp_path):
    names = ["a", "img.v2", "3.0", "in.side/b", "in.side/c.left", "x.y.z"]
    members = [(f"{name}.{ending}", content) for name in names for ending, content in (("png", png()), ("txt", name.encode()))]
    data = read_data(str(write_tar(tmp_path / "x.tar", members)))
    assert [pair.captions for pair in data.pairs] == [(name,) for name in names] and data.skipped == ()
    keys = [_KEY.match(name)[1] for name, _ in members]
    assert keys[::2] == keys[1::2] == ["a", "img", "3", "in.side/b", "in.side/c", "x"]

    # What has the same key is one sample: its plain picture has all texts of it, and others are named.
    members = [("k.png", png()), ("k.mask.png", png(1)), ("k.txt", b"One."), ("k.more.txt", b"Two.")]
    data = read_data(str(write_tar(tmp_path / "y.tar", members)))
    assert [pair.captions for pair in data.pairs] == [("One.", "Two.")] and data.pairs[0].picture.read() == png()
    assert data.skipped == ("further pictures of samples: 1 left out (k.mask.png)",)
    members = [
        (f"k.{side}.{ending}", side.encode() if ending == "txt" else png()) for side in "lr" for ending in ("png", "txt")
    ]
    assert [pair.captions for pair in read_data(str(write_tar(tmp_path / "z.tar", members))).pairs] == [("l",), ("r",)]
    data = [("k.l.png", png()), ("k.r.png", png()), ("k.txt", b"Of whom?"), ("m.png", png()), ("m.txt", b"M.")]
    data = read_data(str(write_tar(tmp_path / "q.tar", data)))
    assert [pair.captions for pair in data.pairs] == [("M.",)]
    assert data.skipped == ("samples with several pictures, none of them named as the caption: 1 left out (k)",)


def test_a_bad_field_of_a_sample_spoils_that_field(tmp_path):
    good = {"caption": "Of j.", "label": ["no", "scalar"], "short_caption": {"x": 1}}
    members = [
        *[("a.jfif", png()), ("a.json", b"{"), ("a.txt", b"Of a.")],
        *[("j.png", png()), ("j.json", json.dumps(good).encode())],
        *[("l", png()), ("l.jpe", png()), ("l.txt", "Ünreadable".encode("latin-1"))],
        *[("u", b""), ("u.weird", png()), ("u.txt", "Of ü.".encode("utf-16"))],
        *[("__MACOSX/._a.jpg", b"junk"), ("._a.txt", b"junk"), ("h.txt", b"Whose?"), ("big.png", png())],
        ("big.txt", b"x" * 1_000_001),
    ]
    data = read_data(str(write_tar(tmp_path / "x.tar", members)))
    assert [(pair.captions, pair.short, pair.label) for pair in data.pairs] == [
        (("Of a.",), "", ""),
        (("Of j.",), "", ""),
        (("Of ü.",), "", ""),
    ]
    assert set(data.skipped) == {
        "fields of a .json that cannot be read: 3 left out (a.json, j.json, j.json)",
        "fields of a .txt that cannot be read: 2 left out (l.txt, big.txt)",
        "samples without caption: 2 left out (l, big)",
        "samples without picture: 1 left out (h)",
    }


def test_files_of_a_shard_that_are_links_are_one_picture(tmp_path):
    (tmp_path / "0.png").write_bytes(png())
    os.link(tmp_path / "0.png", tmp_path / "1.png")
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text(f"{number}.")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("0.png", "0.txt", "1.png", "1.txt"):
            tar.add(tmp_path / name, name)
    assert [pair.captions for pair in read_data(str(tmp_path / "x.tar")).pairs] == [("0.", "1.")]
