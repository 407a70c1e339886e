"""Data sets on disk as pairs: one module a format, and `read_data`, which picks it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ...textfiles import open_text
from ..collected import Collected
from ..left_out import LeftOut
from ..pairs import DataError, Pair, PairData
from ..splits import choose_split
from .coco import read_coco
from .flickr30k import read_flickr30k
from .folder import has_metadata, read_image_folder
from .records import read_json_list
from .shards import find_files, is_pattern
from .sharegpt4v import HELD_OUT, read_sharegpt4v
from .table import read_table
from .urban1k import read_urban1k
from .webdataset import read_webdataset

LISTS = {"sharegpt4v": read_sharegpt4v, "table": read_table, "coco": read_coco, "flickr30k": read_flickr30k}
HOLDERS = {"folder": read_image_folder, "urban1k": read_urban1k, "webdataset": read_webdataset}
FORMATS = (*LISTS, *HOLDERS)
_HEAD = 1 << 16
# The header of a table that is called .txt, as Flickr8k's is.
_HEADER = re.compile(r"(?:file_?name|image|filepath|image_path|image_name)\s*[,\t;|]")
_TOKEN = re.compile(r"[^\t\r\n]+#\d+\t")


def read_data(
    source: str, pictures: str | Path | None = None, split: str | None = None, preferred: tuple[str, ...] = ()
) -> PairData:
    """The pairs that ``FORMAT:PATH`` names, or a PATH whose format is recognised.

    A folder is urban1k if it holds folders image and caption, webdataset if it holds .tar files, folder if it holds a
    ``metadata.jsonl`` or ``.csv``, or none of these. A file is webdataset if its name or pattern ends in .tar;
    flickr30k as .token or with such lines, as CSV with a column comment, or as JSON with sentences; coco as JSON with images;
    sharegpt4v as JSON list with conversations; table otherwise. Any other PATH may be a pattern too: ``part-{0..3}.jsonl``,
    ``*.csv``. No picture is opened or looked for.

    Rows that name the same file are one pair with several captions, in their order.

    pictures: the folder to which the file names of sharegpt4v, table, coco and flickr30k are relative (each reader says
    what it is otherwise); the other formats hold their pictures. split: which part is meant, by the names that the data have,
    several joined by "+", or "all"; without it the first of `preferred` that is there, or else all. Raises DataError where
    the format is ambiguous or unknown, for faulty records, for an unknown split, or where there is no pair;
    FileNotFoundError where there is nothing.
    """
    format, path = find_format(source)
    left_out = LeftOut()
    collected = Collected(_read(format, path, pictures, left_out))
    if not collected.pictures:
        reasons = "".join(f" ({sentence})" for sentence in left_out)
        raise DataError(f"{path}, read as {format}, holds no picture with a caption{reasons}")
    if format == "sharegpt4v" and collected.pictures > HELD_OUT:
        collected.name_first(HELD_OUT, ("val", "test"), "train")
    skipped = tuple(left_out)
    if several := collected.in_several_splits():
        skipped += (f"pictures in more than one split: {several:,}",)
    name = path.name if path.is_dir() else path.stem
    chosen = choose_split(collected.split_pictures, split, preferred, str(path))
    data = PairData(name, (), skipped, "", collected.split_pictures, collected)
    return data.of(chosen)


def _read(format: str, path: Path, pictures: str | Path | None, left_out: LeftOut) -> Iterator[Pair]:
    if format in HOLDERS:
        if pictures is not None:
            raise DataError(f"data of the format {format} hold their own pictures: wanted no folder of pictures")
        yield from HOLDERS[format](path, left_out)
        return
    if path.is_dir():
        raise DataError(f"{path} is a folder, and the format {format} a file")
    root = _check_folder(pictures)
    for file in [path] if path.exists() else find_files(path, "*", "file"):
        yield from LISTS[format](file, root, left_out)


def find_format(source: str) -> tuple[str, Path]:
    """The format and the path of a source, by the rules that `read_data` states.

    Raises DataError where the format is ambiguous or unknown, FileNotFoundError where there is nothing.
    """
    format, place = _part(source)
    pattern = is_pattern(place) and not Path(place).exists()
    # A pattern stays as it is: the folders above may have signs in their names that would be taken for its own.
    path = Path(place if pattern else os.path.abspath(place))
    if not pattern and not path.exists() and format != "webdataset":
        raise FileNotFoundError(f"there is no file or folder {place}")
    if pattern and not format:
        format = "webdataset" if place.endswith(".tar") else recognise(find_files(path, "*", "file")[0])
    return format or recognise(path), path


def recognise(path: Path) -> str:
    """The format of a file or folder, by the rules that `read_data` states. Raises DataError where several fit, or none."""
    fitting = _fit_folder(path) if path.is_dir() else _fit_file(path)
    if len(fitting) != 1:
        what = f"could be {' or '.join(fitting)}" if fitting else f"is of no known format ({', '.join(FORMATS)})"
        raise DataError(f"{path} {what}: name the format, as in {(fitting or FORMATS)[0]}:{path.name}")
    return fitting[0]


def _part(source: str) -> tuple[str, str]:
    """The format that a source names ("" for none) and its path; a colon may also belong to the path."""
    format, colon, place = source.partition(":")
    if colon and format in FORMATS:
        return format, place
    if colon and format.isidentifier() and len(format) > 1 and not Path(source).exists():
        raise DataError(f"the format {format!r} is unknown; there are {', '.join(FORMATS)}")
    return "", source


def _check_folder(pictures: str | Path | None) -> Path | None:
    if pictures is None:
        return None
    if not Path(pictures).is_dir():
        raise FileNotFoundError(f"there is no folder of pictures {pictures}")
    return Path(os.path.abspath(pictures))


def _fit_folder(path: Path) -> list[str]:
    fitting = []
    if all((path / name).is_dir() for name in ("image", "caption")):
        fitting.append("urban1k")
    if any(path.glob("*.tar")):
        fitting.append("webdataset")
    if not fitting or has_metadata(path):
        fitting.append("folder")
    return fitting


def _fit_file(path: Path) -> list[str]:
    name = path.name.lower()
    if name.endswith((".tar", ".tgz")) or ".tar." in name:
        return ["webdataset"]
    if name.endswith(".token"):
        return ["flickr30k"]
    if name.endswith((".jsonl", ".ndjson")):
        return ["table"]
    if not name.endswith((".json", ".csv", ".tsv", ".txt")):
        return []
    with open_text(path) as file:
        head = file.read(_HEAD)
    if name.endswith(".txt"):
        return ["flickr30k"] if _TOKEN.match(head) else ["table"] if _HEADER.match(head.lower()) else []
    if not name.endswith(".json"):
        return ["flickr30k" if "comment" in re.split(r"[\r\n]", head)[0].lower() else "table"]
    if head.lstrip().startswith("["):
        _, record = next(read_json_list(path), ("", {}))
        return ["sharegpt4v" if "conversations" in record else "table"]
    if '"sentences"' in head:
        return ["flickr30k"]
    return ["coco"] if '"images"' in head or '"annotations"' in head else []
