"""Text files of any encoding and their lines, against Python's own codecs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from longclip import textfiles
from longclip.textfiles import DataError, open_text, read_lines, read_text, split_lines

TEXT = "Un été.\u2028Still the first\v, \f\x85\x1c\x1d too.\nSecond 猫\r\nThird\r\rFifth \N{CAT}"
LINES = ["Un été.\u2028Still the first\v, \f\x85\x1c\x1d too.", "Second 猫", "Third", "", "Fifth \N{CAT}"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
def test_encodings_and_lines(tmp_path, encoding, end):
    path = tmp_path / "a.txt"
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    path.write_bytes((mark + TEXT + end).encode(encoding))
    assert read_text(path) == TEXT + end
    assert split_lines(read_text(path)) == LINES
    assert list(read_lines(path)) == list(enumerate(LINES, start=1))


def test_a_lines_end_is_no_further_line(tmp_path):
    assert split_lines("") == [] and split_lines("\n") == [""] and split_lines("a\n\n") == ["a", ""]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("one\ntwo\nthrée\n".encode("latin-1"), 3),
        ("one\r\ntwó\r\n".encode("cp1252"), 2),
        (b"one\rtwo\rthree\xff", 3),
        ("one\ntwo".encode("utf-16-le"), 1),
        ("one\ntwo".encode("utf-16-be"), 1),
        (b"one\ntwo\0\n", 2),
        ("one\ntwo\n".encode("utf-16") + b"\x00", 3),
        (b"x\n" * 5000 + b"\xe9", 5001),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(tmp_path, content, line):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^line {line} of .*a.txt is not text .*save it as UTF-8"):
        read_text(path)
    with pytest.raises(DataError, match=rf"^line {line} of "), open_text(path) as file:
        file.read()


def test_only_regular_files_and_no_endless_line(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "no regular file"), (Path("/dev/zero"), "no regular file"), (tmp_path, "a folder")):
        for read in (read_text, lambda path: list(read_lines(path))):
            with pytest.raises(DataError, match=f"is {what}, wanted a text file"):
                read(path)
    with pytest.raises(FileNotFoundError, match="^there is no file .*none.txt$"):
        read_text(tmp_path / "none.txt")
    monkeypatch.setattr(textfiles, "MAX_LINE", 10)
    path = tmp_path / "long.txt"
    path.write_text("short\n" + "x" * 9 + "\n" + "y" * 11)
    with pytest.raises(DataError, match="^line 3 of .*long.txt is longer than 10 characters"):
        list(read_lines(path))
