"""What was computed of files that have changed since is computed anew, and Stop stops."""

from __future__ import annotations

import os
import shutil
import threading
from types import SimpleNamespace

import numpy as np
from PIL import Image

from demos.context import Context
from demos.evaluation.measurements import OWN, Measurements
from demos.evaluation.measuring import Data
from demos.selection import PICTURE_BOOK
from demos.stamps import content_of, stamp
from longclip.evaluation.data import EvaluationSet


def test_a_model_folder_that_has_changed_is_read_again(tmp_path, tiny_model_folder):
    """Retrained in place: as large as before, under the same names."""
    place = tmp_path / "mine"
    shutil.copytree(tiny_model_folder(77), place)
    context = Context()
    before = context.encoder(str(place))
    assert context.encoder(str(place)) is before
    weights = next(place.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-2:] = np.float16(0.25).tobytes()
    weights.write_bytes(bytes(data))
    os.utime(weights, ns=(1, 1))
    after = context.encoder(str(place))
    assert after is not before and after.identity != before.identity


def test_stamps_tell_changed_files_from_the_same_ones(tmp_path):
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "a.txt"
    file.write_text("one")
    os.utime(file, ns=(5, 5))
    first = stamp(tmp_path)
    assert first == stamp(tmp_path) and stamp(tmp_path / "none") == ""
    os.utime(file, ns=(6, 6))
    assert stamp(tmp_path) != first
    os.utime(file, ns=(5, 5))
    file.rename(tmp_path / "below" / "b.txt")
    assert stamp(tmp_path) != first
    named = Data.at(f"table:{tmp_path}", 30)
    (tmp_path / "more.txt").write_text("")
    assert Data.at(f"table:{tmp_path}", 30) != named


def test_the_content_of_a_set_is_its_captions_and_pictures(tmp_path):
    file = tmp_path / "a.png"
    Image.new("RGB", (8, 8), "red").save(file)
    known = content_of(EvaluationSet("set", [file], ["a"]))
    assert known == content_of(EvaluationSet("set", [file], ["a"])) != content_of(EvaluationSet("set", [file], ["b"]))
    Image.new("RGB", (8, 8), "blue").save(file)
    os.utime(file, ns=(1, 1))
    assert content_of(EvaluationSet("set", [file], ["a"])) != known
    assert content_of(EvaluationSet("set", [b"1"], ["a"])) != content_of(EvaluationSet("set", [b"2"], ["a"]))


def test_stop_ends_reading_and_says_so(monkeypatch):
    """Of one visitor, not of another; the work itself ends too."""
    measurements, ended = Measurements(Context()), threading.Event()
    visitor, other = SimpleNamespace(session_hash="one"), SimpleNamespace(session_hash="two")

    def read(data):
        try:
            while not ended.wait(0.01):
                pass
        finally:
            ended.set()

    monkeypatch.setattr(Data, "read", read)
    steps = measurements.measure(visitor, *("picturebook-clip",) * 2, PICTURE_BOOK, "", 30, ["retrieval"])
    next(step for step in steps if "Drawing the scenes" in step[0])
    measurements.stop(other)
    assert not ended.is_set()
    measurements.stop(visitor)
    assert "Stopped" in list(steps)[-1][0]
    assert ended.wait(60)


def test_a_public_page_reads_no_data_of_its_machine():
    public = Measurements(Context(public=True))
    order = public._order("picturebook-clip", "picturebook-longclip", OWN, "/etc", 30, ["retrieval"])
    assert order.data.source == PICTURE_BOOK
